"""Metadata beside texts: read where it is documented, else refused or counted, so that no patient is lost unseen."""

from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus import kinds
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note
from clinfed.errors import UserError


def texts(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text("tos", encoding="utf-8")
    return folder


def patients(path: Path, skipped: Counter[str] | None = None, *, skip_bad: bool = False) -> dict[str, str]:
    counts: Counter[str] = Counter() if skipped is None else skipped
    return {note.id: note.patient for note in kinds.read(path, "text", skip_bad=skip_bad, skipped=counts)}


LINE = '{"id": "%s", "patient": "p"}\n'


def test_the_file_of_a_subfolder_says_whose_its_notes_are(tmp_path: Path) -> None:
    texts(tmp_path, "a/n1", "b/n1")
    (tmp_path / "a" / "METADATA.JSONL").write_bytes(b"\xef\xbb\xbf" + (LINE % "n1").strip().encode() + b"\r\n")
    skipped: Counter[str] = Counter()
    assert kinds.kind_of(tmp_path) == "text"
    assert patients(tmp_path, skipped) == {"a/n1": "p", "b/n1": ""}
    assert skipped == {"byte order mark (removed)": 1, "line ends CR LF (converted)": 1}


def test_the_file_of_the_folder_above_is_read_for_the_notes_that_it_names(tmp_path: Path) -> None:
    texts(tmp_path, "a/n1", "b/n1")
    (tmp_path / "metadata.jsonl").write_text(LINE % "a/n1" + LINE % "b/n1")
    assert patients(tmp_path) == {"a/n1": "p", "b/n1": "p"}
    assert patients(tmp_path / "a") == {"n1": "p"}
    assert patients(tmp_path / "a" / "n1.txt") == {"n1": "p"}
    (tmp_path / "metadata.jsonl").write_text(LINE % "a/gone")
    with pytest.raises(BadInputError, match=r"metadata\.jsonl:1: the line's id names no note"):
        patients(tmp_path / "a")


def test_a_file_above_that_names_these_notes_otherwise_is_refused_or_counted(tmp_path: Path) -> None:
    texts(tmp_path, "texts/n1")
    (tmp_path / "metadata.jsonl").write_text(LINE % "n1")
    with pytest.raises(BadInputError, match=r"metadata\.jsonl: stands in the folder above, and its ids lack"):
        patients(tmp_path / "texts")
    skipped: Counter[str] = Counter()
    assert patients(tmp_path / "texts", skipped, skip_bad=True) == {"n1": ""}
    assert skipped == {"metadata not read": 1}


def test_a_file_above_that_is_of_other_notes_is_counted(tmp_path: Path) -> None:
    texts(tmp_path, "texts/n1")
    (tmp_path / "metadata.jsonl").write_text(LINE % "other" + "{broken\n")
    skipped: Counter[str] = Counter()
    assert patients(tmp_path / "texts", skipped) == {"n1": ""}
    assert skipped == {"metadata.jsonl of the folder above (names no note here)": 1}


@pytest.mark.parametrize(
    "name", ["metadata.csv", "sub/metadata.json", "patients.tsv", "meta.jsonl", "Pacients_2024.xlsx"]
)
def test_metadata_in_another_form_are_refused_or_counted(tmp_path: Path, name: str) -> None:
    texts(tmp_path, "n1", "sub/n2")
    (tmp_path / name).write_text("canary")
    with pytest.raises(BadInputError, match=r"seems to say whose the notes are.*expected metadata\.jsonl") as caught:
        patients(tmp_path)
    assert "canary" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert patients(tmp_path, skipped, skip_bad=True) == {"n1": "", "sub/n2": ""}
    assert skipped == {"metadata not read": 1}


def test_an_unreadable_file_of_metadata_is_a_fault_of_each_note(tmp_path: Path) -> None:
    texts(tmp_path, "n1")
    (tmp_path / "metadata.jsonl").mkdir()
    with pytest.raises(BadInputError, match=r"metadata\.jsonl: cannot be read"):
        patients(tmp_path)


def test_several_kinds_of_notes_in_one_folder_are_refused_with_their_numbers(tmp_path: Path) -> None:
    texts(tmp_path, "a", "b")
    (tmp_path / "old.jsonl").write_text('{"id": "x", "text": "tos"}\n')
    with pytest.raises(UserError, match=r"several kinds of notes \(1 \*\.jsonl, 2 \*\.txt\); .*--format"):
        kinds.kind_of(tmp_path)
    skipped: Counter[str] = Counter()
    assert patients(tmp_path, skipped) == {"a": "", "b": ""}
    assert skipped == {"file of another kind (.jsonl, not read; expected metadata.jsonl)": 1}
    skipped.clear()
    assert list(kinds.read(tmp_path, "jsonl", skip_bad=False, skipped=skipped)) == [Note("x", "tos")]
    assert skipped == {"file of another kind (.txt, not read)": 2}
    (tmp_path / "a.ann").touch()
    (tmp_path / "c.conll").touch()
    with pytest.raises(UserError, match=r"\(1 \*\.ann, 1 \*\.jsonl, 1 \*\.conll\)"):
        kinds.kind_of(tmp_path)


def test_a_readme_beside_notes_makes_no_mix(tmp_path: Path) -> None:
    texts(tmp_path, "README", "License")
    (tmp_path / "notes.jsonl").write_text('{"id": "x", "text": "tos"}\n')
    assert kinds.kind_of(tmp_path) == "jsonl"


def test_an_unknown_field_of_metadata_is_counted_by_its_name(tmp_path: Path) -> None:
    texts(tmp_path, "n1")
    (tmp_path / "metadata.jsonl").write_text('{"id": "n1", "patient_id": "p", "canary": 1}\n')
    skipped: Counter[str] = Counter()
    assert patients(tmp_path, skipped) == {"n1": ""}
    assert skipped == {
        "unknown field patient_id of metadata.jsonl (ignored; did you mean patient?)": 1,
        "unknown field of metadata.jsonl (ignored)": 1,
    }


@pytest.mark.parametrize("name", ["metadata.jsonl.gz", "patients.xml", "metadata.sqlite", "person.csv", "nhc.yaml"])
def test_metadata_in_other_forms_is_refused(tmp_path: Path, name: str) -> None:
    texts(tmp_path, "n1")
    (tmp_path / name).touch()
    with pytest.raises(BadInputError, match="seems to say whose the notes are"):
        patients(tmp_path)
