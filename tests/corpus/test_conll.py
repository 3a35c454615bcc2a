from collections import Counter
from pathlib import Path

import pytest

from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.conll import Conll, read
from clinfed.errors import UserError


def conll_file(folder: Path, content: str | bytes, name: str = "notes.conll") -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def test_tokens_are_joined_by_spaces_and_tags_become_spans(tmp_path: Path) -> None:
    path = conll_file(tmp_path, "Té\tO\ndiabetis\tB-e11.9\ntipus\tI-E11.9\n.\tO\n\n\ntos\tB-R05\nHTA\tB-R05\n")
    assert list(read(path)) == [
        # Té=0..2 diabetis=3..11 tipus=12..17 .=18
        Note("notes#1", "Té diabetis tipus .", (Span(((3, 17),), "E11.9"),)),
        Note("notes#2", "tos HTA", (Span(((0, 3),), "R05"), Span(((4, 7),), "R05"))),  # two adjacent stay two
    ]


def test_labels_without_code_more_columns_and_document_starts(tmp_path: Path) -> None:
    path = conll_file(tmp_path, "-DOCSTART- -X- O\n\naspirina NN B-FARMACO\nforte NN I-FARMACO\n")
    assert list(read(path)) == [Note("notes#1", "aspirina forte", (Span(((0, 14),), "FARMACO"),), patient="notes#doc1")]


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("canary\n", "a line without token or tag"),
        ("\tO\n", "a line without token or tag"),
        ("canary\tX\n", "a tag that is not IOB2"),
        ("canary\tB-\n", "a tag that is not IOB2"),
        ("canary\tB-E11,9\n", "a tag that is not IOB2"),
        ("canary\tB-E1\n", "a tag that is not IOB2"),
        ("canary\tB-T1a\n", "a tag that is not IOB2"),
        ("canary\tB-T191\n", r"the form of UMLS's; .*its dot"),
        ("canary\tB-C538231\n", "the form of MeSH's"),
        ("canary\tB-8500/3\n", "the form of ICD-O's"),
        ("canary\tB-4A02XM4\n", "the form of ICD-10-PCS's"),
        ("canary\tB-BT30ZZZ\n", "the form of ICD-10-PCS's"),  # a word, to whom it knows
        ("canary\tI-R05\n", "an I- tag that continues no mention"),
        ("bird\tB-R05\ncanary\tI-R52\n", "an I- tag that continues no mention"),
        (b"can\xe1ry\tO\n", "is not UTF-8"),
    ],
)
def test_a_faulty_block_is_named_or_skipped_and_counted(tmp_path: Path, block: str | bytes, found: str) -> None:
    data = block.encode() if isinstance(block, str) else block
    path = conll_file(tmp_path, data + b"\nok\tO\n")
    with pytest.raises(BadInputError, match=rf"notes\.conll:[12]: .*{found}") as caught:
        list(read(path))
    assert "canary" not in str(caught.value)
    skipped: Counter[str] = Counter()
    # The block keeps its number, so that ids do not depend on what was skipped.
    assert list(read(path, skip_bad=True, skipped=skipped)) == [Note("notes#2", "ok")]
    assert skipped.total() == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"notes\.conll:1: the file is empty"):
        list(read(conll_file(tmp_path, "\n\n")))


def test_codes_need_a_shared_list() -> None:
    with pytest.raises(UserError, match="corpus=conll has no public list of codes"):
        Conll().codes()


def test_multicardioner_has_its_published_counts(data_path: Path) -> None:
    folder = data_path / "multicardioner_track2_dev"
    corpus = Conll(path=str(folder))
    skipped: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    mentions: Counter[str] = Counter()
    for note in corpus.notes(skipped):
        language = note.id.partition("/")[0]
        notes[language] += 1
        mentions[language] += len(note.spans)
    assert notes == {"es": 257, "en": 257, "it": 257}
    assert mentions == {"es": 2416, "en": 2426, "it": 2479}
    assert not skipped
