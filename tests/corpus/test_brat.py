import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinfed.corpus import writers
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.brat import Brat, read
from clinfed.errors import UserError

TEXT = "Canary té diabetis tipus 2 i HTA.\nNega tos 😷."


def brat_pair(folder: Path, annotations: str | bytes, text: str | bytes = TEXT, name: str = "note") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    data = annotations.encode() if isinstance(annotations, str) else annotations
    (folder / f"{name}.ann").write_bytes(data)
    return folder / f"{name}.txt"


T1 = "T1\tDIAG 10 18\tdiabetis\n"
DIABETES = ((10, 18),)


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ("N1\tReference T1 ICD10:E11.9\tdiabetis mellitus\n", ["E11.9"]),
        ("N1\tReference T1 CIE-10-ES:e119\n", ["E11.9"]),
        ("A1\tCode T1 E11.9\n", ["E11.9"]),
        ("M1\tICD10 T1 e11.9\n", ["E11.9"]),
        ("#1\tAnnotatorNotes T1\tE11.9\n", ["E11.9"]),
        ("#1\tAnnotatorNotes T1\tI10; e11.9 doubtful\n", ["I10", "E11.9"]),
        ("#1\tICD-10-GM T1\tI10 doubtful\n", ["I10"]),  # the type says that it is a code
        ("#1\tAnnotatorNotes T1\tC22.0 8170/3;C77.1 8000/6\n", ["C22.0", "C77.1"]),  # ICD-O's beside them
        ("#1\tAnnotatorNotes T1\tI10\n#2\tAnnotatorNotes T1\tE11.9\n", ["I10", "E11.9"]),
        ("N1\tReference T1 ICD-10-GM:E11.9\n", ["E11.9"]),
        ("A1\tICD-10-CM T1 E11.9\n", ["E11.9"]),
        ("N1\tReference T1 ICD-O:C50.9\n#1\tAnnotatorNotes T1\tD05.1\n", ["D05.1"]),
        ("N1\tReference T1 ICD10:E11.9\n#1\tAnnotatorNotes T1\tB12; E53,8; D51.0 low\n", ["E11.9"]),
        ("#1\tAnnotatorNotes T1\tE11.9,I10\n", ["E11.9", "I10"]),
        ("#1\tAnnotatorNotes T1\tICD10: E11.9\n", ["E11.9"]),
        ("N1\tReference T1 ICD10:E11.9\n#1\tAnnotatorNotes T1\tE11.9\n", ["E11.9"]),  # twice the same is one
        ("N1\tReference T1 ICD10:E11.9\nA1\tCode T1 Z79.4\n", ["E11.9", "Z79.4"]),
        ("A1\tNegation T1\nN1\tReference T1 ICD10:R05\n", ["R05"]),
    ],
)
def test_a_code_stands_in_one_of_three_places(tmp_path: Path, lines: str, codes: list[str]) -> None:
    for annotations in (T1 + lines, lines + T1):  # in either order
        (note,) = read(brat_pair(tmp_path, annotations))
        assert note == Note("note", TEXT, tuple(Span(DIABETES, code) for code in codes))


def test_codes_of_other_systems_and_remarks_are_counted_and_cost_no_note(tmp_path: Path) -> None:
    annotations = (
        f"{T1}N1\tReference T1 ICD10:E11.9\nN2\tReference T1 UMLS:C0011860\nN3\tReference T1 Local:E10\n"
        "A1\tICD-9 T1 V58.6\n#1\tICD-O T1\tC50.9\n#2\tTODO T1\tI10\n#3\tAnnotatorNotes T1\tP2Y12 y A1c\n"
        "#4\tAnnotatorNotes T1\tD013577, C0011860; M8041/3\n#5\tAnnotatorNotes T1\tcanary of I10, R05\n"
        "#6\tAnnotatorNotes T1\tE11.9 (DM2)\n#7\tAnnotatorNotes T1\tZ79.4\n#8\tAnnotatorNotes T1\tE11,9\n#9\tx\n"
        "T2\tT047 29 32\tHTA\n"  # a type of UMLS, though T04.7 is a code
    )
    corpus = Brat(path=str(brat_pair(tmp_path, annotations)))
    skipped: Counter[str] = Counter()
    assert [note.spans for note in corpus.notes(skipped)] == [(Span(DIABETES, "E11.9"),)]
    assert skipped == {
        "code of another terminology (UMLS)": 3,
        "code of another terminology (ICD-9)": 1,
        "code of another terminology (ICD-O)": 2,
        "code of another terminology (MeSH)": 1,
        "code of another terminology (Local)": 1,
        "note of another type": 2,
        "annotator note without code": 3,
        "code among the words of a note (not read)": 2,
        "note beside a normalisation or attribute with a code (not read)": 2,
        "mention without code": 1,
    }


def test_a_mention_over_a_line_end_is_one_fragment_unless_kept(tmp_path: Path) -> None:
    path = brat_pair(tmp_path, "T1\tDIAG 29 33;34 38\tHTA. Nega\nN1\tReference T1 ICD10:I10\n")
    corpus = Brat(path=str(path))
    skipped: Counter[str] = Counter()
    assert [note.spans for note in corpus.notes(skipped)] == [(Span(((29, 38),), "I10"),)]
    assert skipped == {"fragments parted by white space (joined)": 1}
    assert [note.spans for note in read(path, keep_fragments=True)] == [(Span(((29, 33), (34, 38)), "I10"),)]


def test_the_type_itself_may_be_the_code(tmp_path: Path) -> None:
    (note,) = read(brat_pair(tmp_path, "T1\tE119 10 18\tdiabetis\n"))
    assert note.spans == (Span(DIABETES, "E11.9"),)


def test_discontinuous_and_overlapping_mentions_are_kept(tmp_path: Path) -> None:
    annotations = (
        "T1\tDIAG 10 18;25 26\tdiabetis 2\nN1\tReference T1 ICD10:E11\n"
        "T2\tDIAG 10 26\tdiabetis tipus 2\nN2\tReference T2 ICD10:E11.9\n"
        "T3\tDIAG 39 42;10 18\ttos diabetis\nN3\tReference T3 ICD10:R05\n"  # against the reading order
        "T4\tDIAG 29 38\tHTA. Nega\nN4\tReference T4 ICD10:I10\n"  # the line end shows as a blank
    )
    (note,) = read(brat_pair(tmp_path, annotations))
    assert note.spans == (
        Span(((10, 18), (25, 26)), "E11"),
        Span(((10, 26),), "E11.9"),
        Span(((10, 18), (39, 42)), "R05"),
        Span(((29, 38),), "I10"),
    )


def test_what_has_no_code_is_counted(tmp_path: Path) -> None:
    annotations = (
        f"{T1}T2\tDRUG 29 32\tHTA\nN1\tReference T2 SNOMED:38341003\n#1\tAnnotatorNotes T1\tcanary?\n"
        "A1\tNegation T1\nR1\tof Arg1:T1 Arg2:T2\n#2\tAnnotatorNotes R1\tE11.9\n\n"
    )
    corpus = Brat(path=str(brat_pair(tmp_path, annotations)))
    skipped: Counter[str] = Counter()
    assert [note.spans for note in corpus.notes(skipped)] == [()]
    assert skipped == {
        "mention without code": 2,
        "code of another terminology (SNOMED CT)": 1,
        "annotator note without code": 1,
        "other attribute": 1,
        "relation, event or equivalence": 1,
        "code of what is no mention": 1,
    }


@pytest.mark.parametrize(
    ("annotations", "found"),
    [
        ("T1\tDIAG 10 99\tcanary\n", r"note\.ann:1: span \[10, 99\) ends past the note \(45 characters\)"),
        ("T1\tDIAG 18 10\tcanary\n", r"note\.ann:1: span \[18, 10\) holds no character"),
        ("T1\tDIAG 11 19\tdiabetis\n", r"note\.ann:1: the surface text is not what stands at the offsets"),
        ("T1\tDIAG 10 18;12 20\tdiabetis\n", r"note\.ann:1: fragment \[12, 20\) overlaps"),
        ("T1\tDIAG 10\tcanary\n", r"note\.ann:1: offsets that are not pairs"),
        ("T1\tDIAG ten 18\tcanary\n", r"note\.ann:1: offsets that are not whole numbers"),
        ("T1\tDIAG 10 18 diabetis\n", r"note\.ann:1: a T line without its parts"),
        (T1 + T1, r"note\.ann:2: a T id that is taken"),
        (T1 + "N1\tReference T1 ICD10:canary\n", r"note\.ann:2: a code that has not"),
        (T1 + "N1\tReference T1\n", r"note\.ann:2: an N line without its parts"),
        (T1 + "A1\tCode T1 E11.\n", r"note\.ann:2: a code that has not"),
        (T1 + "A1\tCode T1\n", r"note\.ann:2: a code that has not"),
        (T1 + "A1\tCode\n", r"note\.ann:2: an attribute without its parts"),
        (T1 + "#1\tAnnotatorNotes T1\tE11,9\n", r"note\.ann:2: a code that has not"),  # not E11 and a remark
        (T1 + "#1\tAnnotatorNotes T1\tE11.99999\n", r"note\.ann:2: a code that has not"),
        (T1 + "#1\tAnnotatorNotes T1\tI10; N18,9\n", r"note\.ann:2: a code that has not"),  # also after the first
        (T1 + "#1\tAnnotatorNotes T1\tE11 .9\n", r"note\.ann:2: a code that has not"),  # not E11
        (T1 + "N1\tReference T1 ICD10:B304ZZZ\n", r"note\.ann:2: a code that has the form of ICD-10-PCS's"),
        (T1 + "N1\tReference T7 ICD10:E11.9\n", r"note\.ann:2: a code that points at no T line"),
        ("canary\n", r"note\.ann:1: a line of no kind that BRAT has"),
        (T1.encode() + b"#1\tAnnotatorNotes T1\tcan\xe1ry\n", r"note\.ann:2: byte 24 .* is not UTF-8"),
    ],
)
def test_a_faulty_annotation_is_named_or_its_note_skipped(tmp_path: Path, annotations: str | bytes, found: str) -> None:
    brat_pair(tmp_path, annotations)
    brat_pair(tmp_path, "", name="other")
    with pytest.raises(BadInputError, match=found) as caught:
        list(read(tmp_path))
    assert "canary" not in str(caught.value)
    assert "diabetis" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert [note.id for note in read(tmp_path, skip_bad=True, skipped=skipped)] == ["other"]
    assert skipped.total() == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", r"note\.txt:1: the note has no text"),
        (" \n", r"note\.txt:1: the note has no text"),
        ("\ufeff\ufeffCanary.", r"note\.txt:1: the text begins with a byte order mark"),
        ("\ufeff\r\n", r"note\.txt:1: the note has no text"),
        (b"Canary\nb\xedrd", r"note\.txt:1: byte 8 \(line 2\) is not UTF-8"),
    ],
)
def test_a_faulty_text_is_named_or_skipped(tmp_path: Path, text: str | bytes, found: str) -> None:
    path = brat_pair(tmp_path, "", text)
    with pytest.raises(BadInputError, match=found):
        list(read(path))
    corpus = Brat(path=str(path), skip_bad=True)
    skipped: Counter[str] = Counter()
    assert list(corpus.notes(skipped)) == []
    assert skipped.total() == 1


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    brat_pair(tmp_path, "")
    (tmp_path / "note.ann").rename(tmp_path / "nota.ann")
    with pytest.raises(BadInputError, match=r"note\.txt:1: the text has no \.ann file"):
        list(read(tmp_path))
    skipped: Counter[str] = Counter()
    assert list(read(tmp_path, skip_bad=True, skipped=skipped)) == []
    assert skipped == {"no annotation file": 1, "annotation without text": 1}


def test_ids_are_paths_below_the_folder_and_either_file_may_be_named(tmp_path: Path) -> None:
    brat_pair(tmp_path / "clinic", T1, name="a b")
    brat_pair(tmp_path, T1, name="a%20b")
    assert [note.id for note in read(tmp_path)] == ["a b", "clinic/a b"]
    assert list(read(tmp_path / "a%20b.ann")) == list(read(tmp_path / "a%20b.txt"))
    brat_pair(tmp_path, T1, name="a b")
    with pytest.raises(BadInputError, match=r"a%20b\.txt:1: the note's id was already used at .*a b\.txt:1"):
        list(read(tmp_path))


def test_metadata_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    brat_pair(tmp_path, "")
    metadata = tmp_path / "metadata.jsonl"
    metadata.write_text('{"id": "note", "language": "ca", "patient": "p", "clinic": "c", "split": "test"}\n')
    expected = [Note("note", TEXT, (), "ca", "p", "c", "test")]
    assert list(read(tmp_path)) == list(read(tmp_path / "note.txt")) == expected
    metadata.write_text('{"id": "note", "language": "canary"}\n')
    with pytest.raises(BadInputError, match=r"metadata\.jsonl:1: language is not two") as caught:
        list(read(tmp_path))
    assert "canary" not in str(caught.value)
    assert list(read(tmp_path, skip_bad=True)) == []


def test_metadata_of_no_note_are_refused_or_counted(tmp_path: Path) -> None:
    brat_pair(tmp_path, "")
    metadata = tmp_path / "metadata.jsonl"
    metadata.write_text('{"id": "note", "patient": "p"}\n{"id": "canary.txt", "patient": "p"}\n')
    with pytest.raises(BadInputError, match=r"metadata\.jsonl:2: the line's id names no note") as caught:
        list(read(tmp_path))
    assert "canary" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert list(read(tmp_path, skip_bad=True, skipped=skipped)) == [Note("note", TEXT, patient="p")]
    assert skipped == {"metadata without note": 1}
    assert list(read(tmp_path / "note.txt")) == [Note("note", TEXT, patient="p")]  # one of a folder's notes


@pytest.mark.parametrize(("of_file", "of_line"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_metadata_find_their_note_however_its_accents_are_encoded(tmp_path: Path, of_file: str, of_line: str) -> None:
    brat_pair(tmp_path, "", name=unicodedata.normalize(of_file, "anàlisi"))
    id_ = unicodedata.normalize(of_line, "anàlisi")
    (tmp_path / "metadata.jsonl").write_text(f'{{"id": "{id_}", "patient": "p"}}\n')
    assert [note.patient for note in read(tmp_path)] == ["p"]


def test_a_hidden_annotation_file_is_no_orphan(tmp_path: Path) -> None:
    brat_pair(tmp_path, T1)
    (tmp_path / "._note.ann").write_bytes(b"\x00")
    assert [note.id for note in read(tmp_path)] == ["note"]


def test_a_refused_note_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"out/b\.txt:1: the note has no text"):
        writers.write_brat([Note("a", "b"), Note("b", "")], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    writers.write_brat([Note("a", "b")], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_appears_when_it_is_complete_and_is_private(tmp_path: Path) -> None:
    def notes() -> Iterator[Note]:
        yield Note("a", "b", patient="p")
        assert not list((tmp_path / "new").glob("out"))

    writers.write_brat(notes(), tmp_path / "new" / "out")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "out": 0o700, "a.txt": 0o600, "a.ann": 0o600, "metadata.jsonl": 0o600}


def test_an_empty_folder_or_a_link_to_one_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    writers.write_brat([Note("a", "b")], tmp_path / "link")
    assert [note.id for note in read(tmp_path / "empty")] == ["a"]


def test_the_writer_refuses_to_mix_or_to_lose(tmp_path: Path) -> None:
    brat_pair(tmp_path / "full", "")
    with pytest.raises(UserError, match="not an empty folder"):
        writers.write_brat([Note("a", "b")], tmp_path / "full")
    with pytest.raises(UserError, match=r"a\.txt:1: a mention has no ICD-10 code"):
        writers.write_brat([Note("a", "b", (Span(((0, 1),), "FARMACO"),))], tmp_path / "label")
    with pytest.raises(UserError, match="too long for a file name"):
        writers.write_brat([Note("a" * 300, "b")], tmp_path / "long")
    with pytest.raises(UserError, match="there twice"):
        writers.write_brat([Note("a", "b"), Note("a", "c")], tmp_path / "twice")
    with pytest.raises(BadInputError, match="carriage returns"):
        writers.write_brat([Note("a", "b\r\nc")], tmp_path / "carriage")


def test_codes_need_a_shared_list() -> None:
    with pytest.raises(UserError, match="corpus=brat has no public list of codes"):
        Brat().codes()
