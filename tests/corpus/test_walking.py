"""Files below a folder: all of them are read, refused or counted, whatever their names, links and permissions."""

import os
from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus import kinds
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note
from clinfed.corpus.readers import codiesp
from clinfed.errors import UserError, printable

JSON_LINE = '{"id": "%s", "text": "tos"}\n'
AGAIN = "link to what is read already, or to a folder above (left)"


def written(file: Path, content: str = "tos") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


def ids(path: Path, kind: str, skipped: Counter[str] | None = None, *, skip_bad: bool = False) -> list[str]:
    counts: Counter[str] = Counter() if skipped is None else skipped
    return [note.id for note in kinds.read(path, kind, skip_bad=skip_bad, skipped=counts)]


@pytest.mark.parametrize(
    ("kind", "files", "expected"),
    [
        ("text", {"A.TXT": "tos", "b.Txt": "tos"}, ["A", "b"]),
        ("brat", {"a.TXT": "tos", "a.ANN": "", "b.txt": "tos", "b.Ann": ""}, ["a", "b"]),
        ("jsonl", {"A.JSONL": JSON_LINE % "x", "b.jsonl": JSON_LINE % "y"}, ["x", "y"]),
        ("conll", {"A.CONLL": "tos\tO\n"}, ["A#1"]),
        ("codiesp", {"TRAINX.TSV": "a\tDIAGNOSTICO\tr05\ttos\t0 3\n", "text_files/a.TXT": "tos"}, ["a"]),
    ],
)
def test_suffixes_in_capitals_are_read(tmp_path: Path, kind: str, files: dict[str, str], expected: list[str]) -> None:
    paths = [written(tmp_path / name, content) for name, content in files.items()]
    assert kinds.kind_of(tmp_path) == kind
    assert ids(tmp_path, kind) == expected
    assert kinds.count(tmp_path, kind) in (len(expected), None)
    assert kinds.kind_of(paths[0]) == kind
    assert set(ids(paths[0], kind)) <= set(expected)


def test_two_annotation_files_of_one_text_are_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a.ann", "a.ANN"):
        written(tmp_path / name, "tos" if name == "a.txt" else "")
    with pytest.raises(BadInputError, match=r"a\.txt:1: the text has two annotation files"):
        ids(tmp_path, "brat")


def test_folders_and_files_behind_links_are_read_once(tmp_path: Path) -> None:
    written(tmp_path / "elsewhere" / "n2.txt")
    written(tmp_path / "single.txt")
    written(tmp_path / "notes" / "site" / "n1.txt")
    (tmp_path / "notes" / "a_link").symlink_to("site")  # sorts before what it names
    (tmp_path / "notes" / "b").symlink_to("../elsewhere")
    (tmp_path / "notes" / "c").symlink_to("../elsewhere")
    (tmp_path / "notes" / "n3.txt").symlink_to("../single.txt")
    (tmp_path / "notes" / "n4.txt").symlink_to("../single.txt")
    (tmp_path / "notes" / "n5.txt").symlink_to("site/n1.txt")
    skipped: Counter[str] = Counter()
    assert ids(tmp_path / "notes", "text", skipped) == ["b/n2", "n3", "site/n1"]
    assert skipped == {AGAIN: 4}  # a_link, c, n4 and n5
    assert kinds.count(tmp_path / "notes", "text") == 3


def test_loops_of_links_end(tmp_path: Path) -> None:
    written(tmp_path / "beside" / "n0.txt")
    written(tmp_path / "notes" / "site" / "n1.txt")
    (tmp_path / "notes" / "site" / "again").symlink_to("..")
    (tmp_path / "notes" / "above").symlink_to("../..")  # would lead to what stands beside the notes
    skipped: Counter[str] = Counter()
    assert ids(tmp_path / "notes", "text", skipped) == ["site/n1"]
    assert skipped == {AGAIN: 2}


def test_a_link_to_a_file_of_another_suffix_is_read(tmp_path: Path) -> None:
    written(tmp_path / "store" / "0f3a")
    (tmp_path / "n.txt").symlink_to("store/0f3a")
    assert ids(tmp_path, "text") == ["n"]


def test_an_annotation_of_a_linked_text_is_not_lost(tmp_path: Path) -> None:
    for name in ("first/n.txt", "first/n.ann", "second/n.ann"):
        written(tmp_path / name, "tos" if name.endswith("txt") else "")
    (tmp_path / "second" / "n.txt").symlink_to("../first/n.txt")
    with pytest.raises(BadInputError, match=r"second/n\.ann:1: the \.ann file has no text of its own"):
        ids(tmp_path, "brat")


@pytest.mark.parametrize("target", ["nowhere", "n2.txt"])
def test_a_link_that_leads_nowhere_is_refused_or_counted(tmp_path: Path, target: str) -> None:
    written(tmp_path / "n1.txt")
    (tmp_path / "n2.txt").symlink_to(target)
    with pytest.raises(BadInputError, match=r"n2\.txt: a link that leads nowhere"):
        ids(tmp_path, "text")
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, "text", skipped, skip_bad=True) == ["n1"]
    assert skipped == {"broken link": 1}


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a note and a folder that this account cannot list, also where the account is root."""
    written(tmp_path / "notes" / "n1.txt")
    written(tmp_path / "notes" / "locked" / "n2.txt")
    listed = os.scandir

    def scandir(path: str | Path) -> "os._ScandirIterator[str]":  # type: ignore[name-defined]
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path / "notes"


def test_a_locked_folder_is_refused_or_counted(locked: Path) -> None:
    with pytest.raises(BadInputError, match=r"notes/locked: cannot be read \(PermissionError\)"):
        ids(locked, "text")
    skipped: Counter[str] = Counter()
    assert ids(locked, "text", skipped, skip_bad=True) == ["n1"]
    assert skipped == {"unreadable folder": 1}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_locked_top_folder_is_one_line(locked: Path, kind: str) -> None:
    for attempt in (kinds.kind_of, lambda path: ids(path, kind, skip_bad=True)):
        with pytest.raises(UserError, match=r"locked: (cannot be read \(PermissionError\)|not a folder of CodiEsp)"):
            attempt(locked / "locked")


def test_files_of_other_kinds_are_counted_without_words_of_anybody(tmp_path: Path) -> None:
    for name in ("n.txt", "a.pdf", "b.PDF", "visit.garcia", "noone", "table.csv", ".hidden"):
        written(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.txt")
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, "text", skipped) == ["n"]
    assert skipped == {
        "file of another kind (.pdf, not read)": 2,
        "file of another kind (another suffix, not read)": 1,
        "file of another kind (no suffix, not read)": 1,
        "file of another kind (.csv, not read; expected metadata.jsonl)": 1,
        "pipe, socket or device (not read)": 1,
    }
    assert max(map(len, skipped)) <= 80  # what a clinic may send


@pytest.mark.parametrize(
    ("kind", "name"),
    [("text", "n\udcf3.txt"), ("brat", "n\udcf3.txt"), ("jsonl", "n\udcf3.jsonl"), ("conll", "n\udcf3.conll")],
)
def test_a_file_name_that_is_not_utf8_is_refused_or_counted(tmp_path: Path, kind: str, name: str) -> None:
    written(tmp_path / name, "tos")
    with pytest.raises(BadInputError, match=r"n\\udcf3\.\w+: the file name is not UTF-8.*rename it") as caught:
        ids(tmp_path, kind)
    str(caught.value).encode()
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, kind, skipped, skip_bad=True) == []
    assert skipped == {"file name not UTF-8": 1}
    with pytest.raises(UserError, match=r"n\\udcf3\.\w+: the name is not UTF-8") as told:
        kinds.kind_of(tmp_path / name)
    str(told.value).encode()


def test_a_text_of_codiesp_whose_name_is_not_utf8_is_refused_or_counted(tmp_path: Path) -> None:
    written(tmp_path / "trainX.tsv", "a\tDIAGNOSTICO\tr05\ttos\t0 3\n")
    written(tmp_path / "text_files" / "a.txt")
    written(tmp_path / "text_files" / "\udcf3.txt")
    with pytest.raises(BadInputError, match="the file name is not UTF-8"):
        ids(tmp_path, "codiesp")
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, "codiesp", skipped, skip_bad=True) == ["a"]
    assert skipped == {"file name not UTF-8": 1}


def test_a_folder_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "site\udcf3" / "n.txt")
    with pytest.raises(BadInputError, match=r"site\\udcf3/n\.txt: the file name is not UTF-8"):
        ids(tmp_path, "text")


def test_a_name_with_a_line_end_stays_on_one_line(tmp_path: Path) -> None:
    assert printable("a\nb\u2028c ñ") == "a\\nb\\u2028c ñ"
    written(tmp_path / "a\nb.txt", "")
    with pytest.raises(BadInputError, match=r"a\\nb\.txt:1: the note has no text"):
        ids(tmp_path, "text")


def test_parts_of_codiesp_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    for part in ("train", "dev", "test", "background"):
        written(tmp_path / part / "text_files" / f"{part}-1.txt")
        written(tmp_path / part / "text_files_en" / f"{part}-1.txt")
        if part != "background":
            written(tmp_path / part / f"{part}X.tsv", f"{part}-1\tDIAGNOSTICO\tr05\ttos\t0 3\n")
            written(tmp_path / part / f"{part}D.tsv", f"{part}-1\tr05\n")
    written(tmp_path / "more" / "x.xml")
    written(tmp_path / "patients.csv")  # the splits are official
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, "codiesp", skipped) == ["train-1", "dev-1", "test-1"]
    assert skipped == {
        "file of CodiEsp's background/ (not read)": 2,
        "file of CodiEsp's text_files_en/ (not read)": 3,
        "CodiEsp's table of codes without offsets (*D.tsv, *P.tsv, not read)": 3,
        "file of another kind (.xml, not read)": 1,
        "table that seems to say whose the notes are (not read)": 1,
    }
    assert kinds.count(tmp_path, "codiesp") == 3
    assert [note.split for note in codiesp.read(tmp_path / "test")] == ["test"]


def test_an_unreadable_file_is_counted_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        written(tmp_path / f"{name}.jsonl", JSON_LINE % name)
    opened = Path.open

    def refuse(file: Path, mode: str = "r") -> object:
        if file.name == "a.jsonl":
            raise PermissionError
        return opened(file, mode)

    monkeypatch.setattr(Path, "open", refuse)
    skipped: Counter[str] = Counter()
    assert ids(tmp_path, "jsonl", skipped, skip_bad=True) == ["b"]
    assert skipped == {"unreadable file": 1}
    assert kinds.count(tmp_path, "jsonl") == 1


def test_notes_are_the_same_through_a_link_to_the_top(tmp_path: Path) -> None:
    written(tmp_path / "real" / "n.txt")
    (tmp_path / "link").symlink_to("real")
    (note,) = kinds.read(tmp_path / "link", "text", skip_bad=False, skipped=Counter())
    assert note == Note("n", "tos")
