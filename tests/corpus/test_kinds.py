"""The kind of notes is seen from the path, whatever hidden files and folders lie there too."""

from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus import kinds
from clinfed.corpus.note import Note
from clinfed.corpus.readers import codiesp
from clinfed.corpus.writers import write_jsonl


@pytest.mark.parametrize("hidden", [".note.ann", ".trash/note.ann"])
def test_hidden_files_do_not_tell_the_kind(tmp_path: Path, hidden: str) -> None:
    write_jsonl([Note("a", "b")], tmp_path / "notes.jsonl")
    (tmp_path / hidden).parent.mkdir(exist_ok=True)
    (tmp_path / hidden).touch()
    assert kinds.kind_of(tmp_path) == "jsonl"


def test_hidden_files_and_folders_with_a_files_name_are_not_counted(tmp_path: Path) -> None:
    write_jsonl([Note("a", "b")], tmp_path / "notes.jsonl")
    write_jsonl([Note("a", "b")], tmp_path / ".hidden" / "notes.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert kinds.count(tmp_path, "jsonl") == 1
    assert [note.id for note in kinds.read(tmp_path, "jsonl", skip_bad=False, skipped=Counter())] == ["a"]


def test_hidden_files_of_codiesp_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    (folder / "text_files").mkdir(parents=True)
    (folder / "text_files" / "d1.txt").write_text("tos")
    (folder / "devX.tsv").write_text("d1\tDIAGNOSTICO\tr05\ttos\t0 3\n")
    for name in ("text_files/._d1.txt", "._devX.tsv"):  # as archives of macOS have them
        (folder / name).write_bytes(b"\x00\xff")
    assert [note.id for note in codiesp.read(folder)] == ["d1"]
    assert kinds.count(folder, "codiesp") == 1
