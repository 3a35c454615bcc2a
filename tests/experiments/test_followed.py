"""How a command follows a run that another process does: by the status file, whatever is printed."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clinfed.errors import UserError
from clinfed.experiments import launch
from clinfed.experiments.followed import Followed
from clinfed.experiments.launch import Launch
from clinfed.runs import status
from clinfed.runs.status import Status
from server.progress import Reporter

LIES = "print('clinfed | run record: /lie/record.json'); print('clinfed | error: a lie')"
Follow = Callable[[str], tuple[Path, list[str]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the status file may stand."""
    return tmp_path / "status.json"


@pytest.fixture
def follow(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follow]:
    """Return a function that follows a Python program as if it were `flwr run`; it gives record and shown lines."""
    monkeypatch.setattr(launch, "_script", lambda name: sys.executable)
    private = Launch(tmp_path, "mark")
    private.start("flower-superlink", "-c", "import time; time.sleep(60)", folder="link", output=-3)

    def follow(program: str) -> tuple[Path, list[str]]:
        shown: list[str] = []
        return launch._follow(private, Followed(path, shown.append), "-uc", program), shown

    yield follow
    for process in private.processes:
        process.kill()
        process.wait()


def test_the_record_is_the_one_of_the_status_file_and_all_lines_are_shown(path: Path, follow: Follow) -> None:
    status.write(path, Status("/run", "/run/record.json", lines=2))
    record, shown = follow(f"print('INFO: Flower'); {LIES}; import time; time.sleep(60)")  # it is not waited for
    assert record == Path("/run/record.json")
    assert shown == ["run record: /lie/record.json", "error: a lie"]


def test_the_error_is_the_one_of_the_status_file(path: Path, follow: Follow) -> None:
    status.write(path, Status(error="two sites are missing"))
    with pytest.raises(UserError, match=r"^two sites are missing$"):
        follow(LIES)


def test_without_a_status_file_the_end_of_flowers_log_is_shown(follow: Follow) -> None:
    with pytest.raises(RuntimeError, match=r"ended without a run record; the end of Flower's log:\n(.*\n)*a lie$"):
        follow("print('clinfed | run record: /lie'); print('a lie', end='')")


def test_a_broken_status_file_ends_the_command(path: Path, follow: Follow) -> None:
    path.write_text('{"record": "/run/rec', "utf-8")
    with pytest.raises(UserError, match=r"status\.json: found no status of a run, expected a JSON object"):
        follow("print('clinfed | round 1')")


def test_the_folder_is_told_once_and_lines_are_counted(path: Path) -> None:
    shown: list[str] = []
    folders: list[Path] = []
    followed, reporter = Followed(path, shown.append, folders.append), Reporter(str(path))
    followed.hear("clinfed | clinics load\n")
    reporter.begun(Path("/run"))
    for line in ("INFO: Flower\n", "clinfed | round 1\n"):
        followed.hear(line)
    assert (shown, folders) == (["clinics load", "round 1"], [Path("/run")])


def test_a_run_is_heard_when_its_last_line_has_come(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    followed, reporter = Followed(path, lambda line: None), Reporter(str(path))
    reporter.say("one\ntwo")
    followed.hear("clinfed | one\n")
    followed.hear("clinfed | two\n")
    assert not followed.heard  # the run goes on
    reporter.say("three")
    reporter.complete(Path("/run/record.json"))
    assert not followed.heard  # a line is still to come
    followed.hear("clinfed | three\n")
    assert followed.heard
    assert capsys.readouterr().out == "clinfed | one\nclinfed | two\nclinfed | three\n"


def test_a_refusal_goes_to_whoever_has_named_a_file_else_it_is_printed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Reporter(str(path)).refused(UserError("no\nsite"))
    assert (status.read(path).error, capsys.readouterr().out) == ("no site", "")
    Reporter("").refused(UserError("no\nsite"))
    assert capsys.readouterr().out == "clinfed | error: no site\n"
