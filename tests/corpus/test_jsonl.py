import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus import writers
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.jsonl import Jsonl, read
from clinfed.errors import UserError

GOOD: dict[str, Any] = {"id": "good", "text": "Té tos.", "spans": [{"start": 3, "end": 6, "code": "r05"}]}


def jsonl_file(folder: Path, *records: dict[str, Any] | bytes) -> Path:
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    (folder / "notes.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return folder / "notes.jsonl"


def test_all_fields_are_read(tmp_path: Path) -> None:
    record = GOOD | {"language": "ca", "patient": "p", "clinic": "c", "split": "train"}
    record["spans"] = [{"fragments": [[4, 6], [0, 2]], "code": "R05"}, {"start": 0, "end": 2, "label": "FARMACO"}]
    spans = (Span(((0, 2), (4, 6)), "R05"), Span(((0, 2),), "FARMACO"))
    assert list(read(jsonl_file(tmp_path, record))) == [Note("good", "Té tos.", spans, "ca", "p", "c", "train")]


def test_fragments_that_only_white_space_parts_are_one_unless_kept(tmp_path: Path) -> None:
    text = "Dolor\n  toràcic\tagut, lleu."
    fragments = [[0, 5], [8, 15], [16, 20], [22, 26]]
    record: dict[str, Any] = {"id": "a", "text": text, "spans": [{"fragments": fragments, "code": "R07.4"}]}
    record["spans"].append({"fragments": [[0, 20], [22, 26]], "code": "R07.4"})  # the same, once it is joined
    corpus = Jsonl(path=str(jsonl_file(tmp_path, record)))
    skipped: Counter[str] = Counter()
    assert [note.spans for note in corpus.notes(skipped)] == [(Span(((0, 20), (22, 26)), "R07.4"),)]  # the comma parts
    assert skipped == {"fragments parted by white space (joined)": 1, "repeated mention (merged)": 1}
    kept = Jsonl(path=corpus.path, keep_fragments=True)
    untouched: Counter[str] = Counter()
    assert [len(span.fragments) for note in kept.notes(untouched) for span in note.spans] == [4, 2]
    assert not untouched


def test_id_and_text_are_enough_and_null_is_absent(tmp_path: Path) -> None:
    assert list(read(jsonl_file(tmp_path, {"id": "a", "text": "b", "language": None}))) == [Note("a", "b")]


def test_unknown_fields_and_repeated_mentions_are_counted(tmp_path: Path) -> None:
    span = {"start": 3, "end": 6, "code": "R05"}
    corpus = Jsonl(path=str(jsonl_file(tmp_path, GOOD | {"age": 7, "spans": [span, span | {"weight": 0.5}]})))
    skipped: Counter[str] = Counter()
    assert [note.spans for note in corpus.notes(skipped)] == [(Span(((3, 6),), "R05"),)]
    assert skipped == {
        "unknown field age (ignored)": 1,
        "unknown field weight of a span (ignored)": 1,
        "repeated mention (merged)": 1,
    }


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (b"", ""),
        (b"{", "not JSON at column 2"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b'["canary"]', "JSON that is not an object"),
        (b'{"id": "canary", "text": "can\xe1ry"}', "byte 29 .* is not UTF-8"),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "begins with a byte order mark"),  # not the file
        ({"id": "x", "text": ""}, "no id or no text"),
        ({"id": "x", "text": " \n"}, "the note has no text"),
        ({"id": 7, "text": "canary"}, "id is not a string"),
        ({"id": "x", "text": "canary\r\nbird", "spans": GOOD["spans"]}, "carriage returns .* no surface tells"),
        ({"id": "x", "text": "\ufeffcanary", "spans": GOOD["spans"]}, "begins with a byte order mark"),
        ({"id": "x", "text": "canary\ud83d"}, "half a surrogate pair"),
        ({"id": "good", "text": "canary"}, r"the note's id was already used at .*notes\.jsonl:1"),
        ({"id": "x", "text": "canary", "language": "Català"}, "language is not two small letters"),
        ({"id": "x", "text": "canary", "split": "dev"}, "split is none of the three"),
        ({"id": "x", "text": "canary", "spans": {}}, "spans is not a list"),
        ({"id": "x", "text": "canary", "spans": ["canary"]}, "a span is not an object"),
        ({"id": "x", "text": "canary", "spans": [{"code": "R05"}]}, "a span without offsets"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "code": "R05"}]}, "not pairs of whole numbers"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": True, "code": "R05"}]}, "not pairs of whole"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 2.0, "code": "R05"}]}, "not pairs of whole"),
        ({"id": "x", "text": "canary", "spans": [{"fragments": [], "code": "R05"}]}, "a mention without offsets"),
        ({"id": "x", "text": "canary", "spans": [{"fragments": [[0, 3], [2, 4]], "code": "R05"}]}, "overlaps the one"),
        ({"id": "x", "text": "canary", "spans": [{"start": -1, "end": 3, "code": "R05"}]}, "holds no character"),
        (
            {"id": "x", "text": "canary", "spans": [{"start": 3, "end": 7, "code": "R05"}]},
            r"\[3, 7\) ends past",
        ),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "code": "canary"}]}, "a code that has not"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "code": "I9A.1"}]}, "a code that has not"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3}]}, "a span's code is missing"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "label": "R05"}]}, "a label beside a code"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "code": "D013577"}]}, "the form of MeSH's"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "code": "T184"}]}, "the form of UMLS's"),
        ({"id": "x", "text": "canary", "spans": [{"start": 0, "end": 3, "label": "BT30ZZZ"}]}, "of ICD-10-PCS's"),
    ],
)
def test_a_faulty_line_is_named_or_skipped_and_counted(tmp_path: Path, record: Any, found: str) -> None:
    path = jsonl_file(tmp_path, GOOD, record)
    if not record:  # a blank line is no fault
        assert [note.id for note in read(path)] == ["good"]
        return
    with pytest.raises(BadInputError, match=rf"notes\.jsonl:2: .*{found}.*; expected .*; .*--skip-bad") as caught:
        list(read(path))
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert [note.id for note in read(path, skip_bad=True, skipped=skipped)] == ["good"]
    assert skipped.total() == 1


def test_a_patient_in_two_official_splits_is_refused(tmp_path: Path) -> None:
    records = [{"id": name, "text": "x", "patient": "p", "split": name} for name in ("train", "test")]
    with pytest.raises(BadInputError, match=r"notes\.jsonl:2: the note's patient has notes in another split"):
        list(read(jsonl_file(tmp_path, *records)))


def test_an_empty_file_is_refused_or_counted(tmp_path: Path) -> None:
    path = jsonl_file(tmp_path)
    with pytest.raises(BadInputError, match=r"notes\.jsonl:1: the file is empty"):
        list(read(path))
    corpus = Jsonl(path=str(path), skip_bad=True)
    skipped: Counter[str] = Counter()
    assert list(corpus.notes(skipped)) == []
    assert skipped == {"empty file": 1}


def test_a_folder_is_read_file_by_file_and_reading_streams(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    jsonl_file(tmp_path / "b", GOOD, b"{")
    jsonl_file(tmp_path, GOOD | {"id": "a"})
    (tmp_path / ".hidden.jsonl").write_text("{")
    notes = read(tmp_path)
    assert next(notes).id == "good"  # the fault on the next line comes only when it is reached
    with pytest.raises(BadInputError, match=r"b/notes\.jsonl:2"):
        next(notes)
    assert [note.id for note in read(tmp_path, skip_bad=True)] == ["good", "a"]


def test_a_wrong_path_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        list(read(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"no file that ends in \.jsonl"):
        list(read(tmp_path))
    with pytest.raises(UserError, match="no path was given"):
        list(read(""))


def test_codes_come_from_a_shared_list_only(tmp_path: Path) -> None:
    path = str(jsonl_file(tmp_path, GOOD))
    with pytest.raises(UserError, match=r"corpus=jsonl has no public list of codes; .*corpus\.labels="):
        Jsonl(path=path).codes()
    labels = tmp_path / "codes.json"
    labels.write_text('["r52", "E11.9", "FARMACO"]')
    assert Jsonl(path=path, labels=str(labels)).codes() == ["E11.9", "FARMACO", "R52"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "[1]", '["canary,"]', '["E11,9"]', '["I9A.1"]', '["E119", "E11.9"]']
)
def test_a_faulty_list_of_codes_is_refused(tmp_path: Path, content: str) -> None:
    labels = tmp_path / "codes.json"
    labels.write_text(content)
    with pytest.raises(UserError, match=r"codes\.json: .*; expected") as caught:
        Jsonl(labels=str(labels)).codes()
    assert "canary" not in str(caught.value)


def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = jsonl_file(tmp_path, GOOD)
    with pytest.raises(BadInputError, match="the note has no text"):
        writers.write_jsonl([Note("a", "b"), Note("c", "")], path)
    assert [note.id for note in read(path)] == ["good"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_private_even_where_a_killed_process_left_its_part(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl.unfinished").touch(mode=0o644)
    writers.write_jsonl([Note("a", "b")], tmp_path / "notes.jsonl")
    assert (tmp_path / "notes.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_documented_example_is_good(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    example = page.split("```json\n")[1].split("```")[0].replace("\n", " ")
    skipped: Counter[str] = Counter()
    (note,) = read(jsonl_file(tmp_path, example.encode()), skipped=skipped)
    assert [note.text[start:end] for span in note.spans for start, end in span.fragments] == ["DM2", "tos", "seca"]
    assert not skipped
