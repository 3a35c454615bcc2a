"""CoNLL as other tools lay it out: documents, comments, columns before the token, Unicode spaces inside one."""

from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.readers.conll import read
from clinfed.corpus.splits import split_of

BLOCK = "Asma\tB-J45.9\nlleu\tO\n\n"


def conll_file(folder: Path, content: str, name: str = "notes.conll") -> Path:
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder / name


def patients(folder: Path, content: str) -> list[str]:
    return [note.patient for note in read(conll_file(folder, content))]


def test_blocks_between_two_document_starts_are_one_patient(tmp_path: Path) -> None:
    content = f"{BLOCK}-DOCSTART- -X- O O\n\n{BLOCK}{BLOCK}-DOCSTART-\n{BLOCK}"
    # The block before the first start is of no document that the file names.
    assert patients(tmp_path, content) == ["", "notes#doc1", "notes#doc1", "notes#doc2"]


def test_forty_sentences_of_a_document_are_in_one_split(tmp_path: Path) -> None:
    notes = list(read(conll_file(tmp_path, "-DOCSTART- (a1)\n\n" + BLOCK * 40)))
    assert len(notes) == 40
    assert len({split_of(note) for note in notes}) == 1


def test_a_document_start_ends_the_block_before_it(tmp_path: Path) -> None:
    notes = list(read(conll_file(tmp_path, "-DOCSTART- O\nAsma O\n-DOCSTART- O\nTos O\n")))
    assert [(note.id, note.text, note.patient) for note in notes] == [
        ("notes#1", "Asma", "notes#doc1"),
        ("notes#2", "Tos", "notes#doc2"),
    ]


def test_documents_of_two_files_are_two(tmp_path: Path) -> None:
    for name in ("a.conll", "b.conll"):
        conll_file(tmp_path, f"-DOCSTART-\n\n{BLOCK}", name)
    assert [note.patient for note in read(tmp_path)] == ["a#doc1", "b#doc1"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("# newdoc id = x1\n# sent_id = 1\n", "# newdoc id = x2\n"),
        ("# doc_id = x1\n", "# doc_id = x2\n"),
        ("#begin document (x1); part 000\n", "#end document\n#begin document (x2); part 000\n"),
        ("# newdoc\n", "# newdoc\n"),
    ],
)
def test_comments_begin_documents_too(tmp_path: Path, first: str, second: str) -> None:
    found = patients(tmp_path, first + BLOCK + BLOCK + second + BLOCK)
    assert found == ["notes#doc1", "notes#doc1", "notes#doc2"]


def test_a_document_named_at_each_sentence_is_one(tmp_path: Path) -> None:
    sentences = [f"# doc_id = {name}\n{BLOCK}" for name in ("x1", "x1", "x2", "x1")]
    assert patients(tmp_path, "".join(sentences)) == ["notes#doc1", "notes#doc1", "notes#doc2", "notes#doc1"]


def test_comments_are_counted_and_no_words_of_the_note(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    path = conll_file(tmp_path, "# sent_id = 4\n# text = Asma O\nAsma\tB-J45.9\n#\tO\n\n# O\nTos O\n")
    # "#" is a token where a tag follows it, and "# text = Asma O" none although it ends in one.
    assert [note.text for note in read(path, skipped=skipped)] == ["Asma #", "# Tos"]
    assert skipped == {"comment line (passed over)": 2}


@pytest.mark.parametrize("space", ["\u00a0", "\u2028", "\u2009", "\u0085", "\u3000", "\x0b", "\x1c"])
def test_columns_part_at_blank_and_tab_only(tmp_path: Path, space: str) -> None:
    notes = list(read(conll_file(tmp_path, f"2{space}000 O\nTos{space}seca  B-R05\n\n{space}\tO\nTos\tB-R05\n")))
    assert [note.text for note in notes] == [f"2{space}000 Tos{space}seca", f"{space} Tos"]
    assert [note.text[note.spans[0].start : note.spans[0].end] for note in notes] == [f"Tos{space}seca", "Tos"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("1\tAsma\tO\n2\tcanary\tB-R05\n\n1\tTos\tO\n", "row numbers"),
        ("1\tAsma\tO\n2\tcanary\tO\n", "row numbers"),
        ("0 Asma O\n1 canary B-R05\n2 . O\n", "row numbers"),
        ("1\tAsma\tO\n\n1\tcanary\tO\n\n1\tTos\tO\n", "says the same on every line"),
        ("0\tAsma\tO\n1\tcanary\tO\n\n2\tTos\tO\n3\t.\tO\n", "row numbers"),  # that do not start anew
        ("# sent_id = 1\n1-2\tdel\t_\n1\tde\tO\n2\tel\tO\n2.1\tcanary\tO\n", "row numbers"),  # CoNLL-U
        ("d1 0 Asma O\nd1 1 canary B-R05\nd1 2 . O\n", "says the same on every line"),  # CoNLL-2012
        ("d1 0 Asma O\nd1 1 canary O\n\nd2 0 Tos O\nd2 1 . O\n", "the same on all lines of a block"),
        ("0\t4\tAsma\tO\n5\t11\tcanary\tB-R05\n", "row numbers or offsets"),
        ("1-1\t0-4\tAsma\tO\n1-2\t5-11\tcanary\tO\n", "row numbers or offsets"),  # WebAnno
    ],
)
def test_a_column_before_the_token_is_refused(tmp_path: Path, content: str, found: str) -> None:
    path = conll_file(tmp_path, content)
    with pytest.raises(BadInputError, match=rf"notes\.conll:\d: .*{found}.*remove what stands before it") as caught:
        list(read(path))
    assert "canary" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert list(read(path, skip_bad=True, skipped=skipped)) == []  # no block of such a file is a note
    assert skipped["other columns"] >= 1


@pytest.mark.parametrize("content", ["1\tO\n2\tO\n3\tO\n", "1 Z O\n", "1 Z O\n1 Z O\n", "7 Z O\n5 Z O\n6 Z O\n"])
def test_tokens_that_are_numbers_stay(tmp_path: Path, content: str) -> None:
    assert [note.text for note in read(conll_file(tmp_path, content))] == [
        " ".join(line[0] for line in content.splitlines())
    ]


def test_a_document_start_counts_after_blanks_and_in_small_letters(tmp_path: Path) -> None:
    content = f" -DOCSTART- O\n\n{BLOCK}-docstart- -X- O\n\n{BLOCK}"
    assert patients(tmp_path, content) == ["notes#doc1", "notes#doc2"]


def test_the_blocks_of_a_patient_whom_a_comment_names_stay_together(tmp_path: Path) -> None:
    content = f"# patient = a\n{BLOCK}# patient = b\n{BLOCK}# patient = a\n{BLOCK}"
    assert patients(tmp_path, content) == ["notes#doc1", "notes#doc2", "notes#doc1"]


def test_rows_that_end_in_cr_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"notes\.conll:1: a carriage return") as caught:
        list(read(conll_file(tmp_path, "canary B-R05\rTos B-R05\r")))
    assert "canary" not in str(caught.value)
