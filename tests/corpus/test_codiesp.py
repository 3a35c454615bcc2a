import time
from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.codiesp import Codiesp, read
from clinfed.corpus.splits import split_of
from clinfed.errors import UserError
from partitions.base import deal
from partitions.iid import Iid

TEXT = "Dolor y fiebre.\nSin tos."


def codiesp_folder(root: Path, table: str, texts: dict[str, str], name: str = "train") -> Path:
    (root / name / "text_files").mkdir(parents=True)
    (root / name / f"{name}X.tsv").write_bytes(table.encode())
    for id_, text in texts.items():
        (root / name / "text_files" / f"{id_}.txt").write_bytes(text.encode())
    return root


def test_rows_become_spans_and_procedures_are_counted(tmp_path: Path) -> None:
    table = (
        "a\tDIAGNOSTICO\tr52\tDolor\t0 5\n"
        "a\tPROCEDIMIENTO\tbw03zzz\ttos\t20 23\n"
        "a\tDIAGNOSTICO\tr50.9\tfiebre Dolor\t8 14;0 5\n"  # written against the reading order
        "a\tDIAGNOSTICO\tr68.89\tDolor\t0 5\n"  # a second code of the first span
    )
    corpus = Codiesp(path=str(codiesp_folder(tmp_path, table, {"a": TEXT, "b": "Nada."})))
    skipped: Counter[str] = Counter()
    spans = (Span(((0, 5),), "R52"), Span(((0, 5), (8, 14)), "R50.9"), Span(((0, 5),), "R68.89"))
    assert list(corpus.notes(skipped)) == [
        Note("a", TEXT, spans, language="es", split="train"),
        Note("b", "Nada.", (), language="es", split="train"),
    ]
    assert skipped == {"procedure": 1, "text without a row in the table (kept, without mentions)": 1}
    assert corpus.codes() == ["R50.9", "R52", "R68.89"]


def test_a_surface_that_differs_is_kept_and_counted(tmp_path: Path) -> None:
    table = "a\tDIAGNOSTICO\tr52\tDolor y\t0 5\na\tDIAGNOSTICO\tr50.9\tfiebre  tos\t8 14;15 15;20 23\n"
    corpus = Codiesp(path=str(codiesp_folder(tmp_path, table, {"a": TEXT})))
    skipped: Counter[str] = Counter()
    (note,) = corpus.notes(skipped)
    assert note.spans == (Span(((0, 5),), "R52"), Span(((8, 14), (20, 23)), "R50.9"))
    assert skipped == {"surface differs from the text (kept)": 1, "empty fragment (dropped)": 1}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("a\tDIAGNOSTICO\tr52\tDolor\t0 99\n", r"trainX\.tsv:2: span \[0, 99\) ends past the note \(24 characters\)"),
        ("a\tDIAGNOSTICO\tr5\tDolor\t0 5\n", r"trainX\.tsv:2: a code that has not"),
        ("a\tDIAGNOSTICO\tr52\tDolor\t0-5\n", r"trainX\.tsv:2: offsets that are not pairs"),
        ("a\tDIAGNOSTICO\tr52\tDolor\t5 5\n", r"trainX\.tsv:2: a mention without offsets"),
        ("a\tOTRO\tr52\tDolor\t0 5\n", r"trainX\.tsv:2: a row that is not CodiEsp's"),
        ("a\tDIAGNOSTICO\tr52\n", r"trainX\.tsv:2: a row that is not CodiEsp's"),
        ("c\tDIAGNOSTICO\tr52\tDolor\t0 5\n", r"trainX\.tsv:2: the row's document has no text"),
    ],
)
def test_a_faulty_row_is_named_or_its_note_skipped_and_counted(tmp_path: Path, row: str, found: str) -> None:
    table = f"b\tDIAGNOSTICO\tr52\tDolor\t0 5\n{row}"
    root = codiesp_folder(tmp_path, table, {"a": TEXT, "b": TEXT} if row[0] == "a" else {"b": TEXT})
    with pytest.raises(BadInputError, match=found) as caught:
        list(read(root))
    assert "Dolor" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert [note.id for note in read(root, skip_bad=True, skipped=skipped)] == ["b"]
    assert skipped.total() == 1


def test_dev_is_the_test_split_and_a_document_in_both_is_refused(tmp_path: Path) -> None:
    codiesp_folder(tmp_path, "", {"a": TEXT})
    codiesp_folder(tmp_path, "", {"b": TEXT}, name="dev")
    assert [(note.id, note.split) for note in read(tmp_path)] == [("a", "train"), ("b", "test")]
    assert [note.split for note in read(tmp_path / "dev")] == ["test"]
    (tmp_path / "dev" / "text_files" / "a.txt").write_text(TEXT)
    with pytest.raises(BadInputError, match="already used at"):
        list(read(tmp_path))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder of CodiEsp"):
        list(read(tmp_path))
    with pytest.raises(UserError, match="no path was given"):
        list(read(""))
    with pytest.raises(UserError, match="no folder train/"):
        Codiesp(path=str(tmp_path)).codes()


def test_the_real_corpus_has_its_published_counts(codiesp_path: Path) -> None:
    corpus = Codiesp(path=str(codiesp_path))
    skipped: Counter[str] = Counter()
    begin = time.perf_counter()
    notes = list(corpus.notes(skipped))
    assert time.perf_counter() - begin < 10  # seconds; 0.1 alone on a machine
    documents = Counter(note.split for note in notes)
    mentions = Counter({split: sum(len(n.spans) for n in notes if n.split == split) for split in documents})
    assert documents == {"train": 500, "test": 250}
    assert mentions == {"train": 7209, "test": 3431}
    codes = corpus.codes()
    assert len(codes) == 1767
    assert codes == sorted({span.code for note in notes if note.split == "train" for span in note.spans})
    assert {note.language for note in notes} == {"es"}
    # The tables have 13,658 rows: 7,209 + 3,431 diagnoses and 3,018 procedures.
    assert skipped == {
        "file of CodiEsp's background/ (not read)": 2751,
        "file of CodiEsp's text_files_en/ (not read)": 750,
        "CodiEsp's table of codes without offsets (*D.tsv, *P.tsv, not read)": 4,
        "file of another kind (.txt, not read)": 1,  # README.txt
        "procedure": 3018,
        "empty fragment (dropped)": 3,
        "surface differs from the text (kept)": 3,
    }
    validation = sum(split_of(note) == "validation" for note in notes)
    assert 30 <= validation <= 70  # 10% of 500, three standard deviations of 6.7


def test_dev_alone_takes_the_codes_of_train(codiesp_path: Path) -> None:
    assert len(Codiesp(path=str(codiesp_path / "dev")).codes()) == 1767


def test_the_published_cases_are_public_and_no_others(codiesp_path: Path) -> None:
    corpus = Codiesp(path=str(codiesp_path))
    notes = list(corpus.notes())
    assert corpus.is_public(notes)
    assert not corpus.is_public([*notes, Note("S0004-note-1", TEXT)])
    assert not corpus.is_public([Note("4711", TEXT)])


def test_lower_case_moves_no_offset(codiesp_path: Path) -> None:
    plain = list(Codiesp(path=str(codiesp_path / "dev")).notes())
    lowered = list(Codiesp(path=str(codiesp_path / "dev"), lowercase=True).notes())
    assert [note.spans for note in plain] == [note.spans for note in lowered]
    assert all(len(a.text) == len(b.text) and a.text.lower() == b.text for a, b in zip(plain, lowered, strict=True))


def test_with_a_test_part_dev_chooses_and_all_of_train_trains(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        codiesp_folder(
            tmp_path, f"{name}-0\tDIAGNOSTICO\tr52\tDolor\t0 5\n", {f"{name}-{i}": TEXT for i in range(50)}, name
        )
        (tmp_path / name / f"{name}D.tsv").write_text("")
    skipped: Counter[str] = Counter()
    corpus = Codiesp(path=str(tmp_path))
    notes = list(corpus.notes(skipped))
    assert {(note.id.split("-")[0], split_of(note)) for note in notes} == {
        ("train", "train"),  # of 50 notes 5 would be validation, if dev were not
        ("dev", "validation"),
        ("test", "test"),
    }
    assert [note.id for note in notes if note.spans] == ["train-0", "dev-0", "test-0"]
    assert corpus.evaluated == "test"
    assert skipped["CodiEsp's table of codes without offsets (*D.tsv, *P.tsv, not read)"] == 3
    assert not [reason for reason in skipped if "test/" in reason]


def test_without_a_test_part_dev_is_a_development_set(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        codiesp_folder(tmp_path, "", {name: TEXT}, name)
    (tmp_path / "test" / "text_files").mkdir(parents=True)  # published texts without annotations are no test part
    (tmp_path / "test" / "text_files" / "x.txt").write_text(TEXT)
    skipped: Counter[str] = Counter()
    assert [(note.id, split_of(note)) for note in read(tmp_path, skipped=skipped)] == [
        ("train", "train"),
        ("dev", "test"),
    ]
    assert skipped["file of CodiEsp's test/ (not read)"] == 1
    assert Codiesp(path=str(tmp_path)).evaluated == Codiesp(path=str(tmp_path / "dev")).evaluated == "development set"


def test_cases_of_one_article_are_one_unit_whatever_their_split(tmp_path: Path) -> None:
    article = "S0004-06142006000500002"
    codiesp_folder(tmp_path, "", {f"{article}-1": TEXT, f"{article}-2": TEXT, "own-1": TEXT, "own-2": TEXT})
    codiesp_folder(tmp_path, "", {f"{article}-3": TEXT}, "dev")
    notes = list(read(tmp_path))
    assert Counter(note.unit for note in notes) == {article: 3, "own-1": 1, "own-2": 1}  # a hospital's ids say nothing
    for seed in range(5):
        dealt = deal(notes, Iid(), num_clinics=2, seed=seed)
        assert sum(any(note.unit == article for note in held) for held in dealt.values()) == 1


def test_the_published_dev_part_has_siblings_in_train(codiesp_path: Path) -> None:
    notes = list(Codiesp(path=str(codiesp_path)).notes())
    trained = {note.unit for note in notes if note.split == "train"}
    dev = [note for note in notes if note.split == "test"]
    assert sum(note.unit in trained for note in dev) == 20
    assert len(dev) == 250
