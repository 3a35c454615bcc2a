"""Errors of the file system: which are the user's to mend, and that they name the place."""

import errno
from pathlib import Path

import pytest

import clinfed
from clinfed.disk import mistake, refuse_unwritable, together, whole, writing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def write_on_a_full_disk(page: Path) -> None:
    with together(page) as passing:
        passing.write_text("page")
        full = passing.with_suffix(".csv")
        full.symlink_to("/dev/full")
        full.write_text("1")


def test_files_that_belong_together_appear_together_or_not_at_all(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    with pytest.raises(OSError, match="No space left") as caught:
        write_on_a_full_disk(page)
    assert (caught.value.filename, list(page.parent.iterdir())) == (str(page), [])
    with together(page) as passing:
        passing.write_text("page")
        passing.with_suffix(".csv").write_text("1")
    assert sorted(path.name for path in page.parent.iterdir()) == ["page.csv", "page.html"]


def test_a_full_disk_is_named_with_its_remedy() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/media/out.jsonl")
    assert mistake(error) == "/media/out.jsonl: no space is left on its disk; make room there, or write elsewhere"


def test_a_full_disk_that_no_error_names_is_still_the_users() -> None:
    said = mistake(OSError(errno.ENOSPC, "No space left on device"), unnamed="standard output")
    assert said == "standard output: no space is left on its disk; make room there, or write elsewhere"


def test_what_may_be_a_bug_is_nobodys_mistake() -> None:
    assert mistake(OSError(errno.ENOENT, "No such file")) is None  # no path that a user could correct
    assert mistake(OSError(errno.EBADF, "Bad file descriptor", "/media/out.jsonl")) is None
    assert mistake(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    own = str(Path(clinfed.__file__ or "").parent / "corpus" / "gone.json") if clinfed.__file__ else None
    package = Path(next(iter(clinfed.__path__))) / "corpus" / "gone.json"
    assert mistake(FileNotFoundError(errno.ENOENT, "No such file", own or str(package))) is None


def test_a_passing_name_is_replaced_by_the_targets() -> None:
    target, passing = Path("/media/out.jsonl"), Path("/media/out.jsonl.unfinished")
    with pytest.raises(OSError, match="left") as error, writing(target, passing):
        raise OSError(errno.ENOSPC, "No space left on device", str(passing))
    assert error.value.filename == str(target)


def test_a_copy_names_where_it_goes_and_not_its_source() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/runs/head", None, "/media/head")
    assert str(mistake(error)).startswith("/media/head: no space is left")


def test_a_folder_that_could_not_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    def begin_and_fail() -> None:
        (tmp_path / "new" / "part").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="left"), whole(tmp_path / "new"):
        begin_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_another_file_keeps_its_name() -> None:
    with pytest.raises(OSError, match="denied") as error, writing(Path("/media/out.jsonl")):
        raise PermissionError(errno.EACCES, "Permission denied", "/notes/a.txt")
    assert error.value.filename == "/notes/a.txt"


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "new" / "runs")
    assert list((tmp_path / "new" / "runs").iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file") as error:
        refuse_unwritable(tmp_path / "file" / "runs")
    assert "a part of this path is a file" in str(mistake(error.value))
