"""Fields of JSONL: null is absent, a repeated key is refused, an unknown field is counted by its name."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus import labels
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import brat
from clinfed.corpus.readers.jsonl import read
from clinfed.errors import UserError


def notes_file(folder: Path, *lines: dict[str, Any] | str) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "notes.jsonl").write_text(text)
    return folder / "notes.jsonl"


def spans_of(folder: Path, *spans: dict[str, Any]) -> tuple[Span, ...]:
    return next(read(notes_file(folder, {"id": "n", "text": "Asma i tos.", "spans": list(spans)}))).spans


def test_null_is_absent_in_a_note(tmp_path: Path) -> None:
    absent = dict.fromkeys(("spans", "language", "patient", "clinic", "split", "label", "age"))
    skipped: Counter[str] = Counter()
    assert list(read(notes_file(tmp_path, {"id": "n", "text": "Asma."} | absent), skipped=skipped)) == [
        Note("n", "Asma.")
    ]
    assert not skipped  # a field that is absent is not unknown


def test_null_is_absent_in_a_span(tmp_path: Path) -> None:
    one = {"start": 0, "end": 4, "fragments": None, "code": "J45.9", "label": None, "title": None, "score": None}
    several = {"start": None, "end": None, "fragments": [[0, 4], [7, 10]], "code": None, "label": "SIGNE"}
    assert spans_of(tmp_path, one, several) == (Span(((0, 4),), "J45.9"), Span(((0, 4), (7, 10)), "SIGNE"))


def test_an_empty_code_or_label_is_absent(tmp_path: Path) -> None:
    place = {"start": 0, "end": 4}
    assert spans_of(tmp_path, place | {"code": "J45.9", "label": ""}, place | {"code": "", "label": "SIGNE"}) == (
        Span(((0, 4),), "J45.9"),
        Span(((0, 4),), "SIGNE"),
    )


@pytest.mark.parametrize(
    "span",
    [
        {"start": 0, "end": None, "code": "J45.9"},
        {"start": None, "end": None, "fragments": None, "code": "J45.9"},
        {"start": 0, "end": 4, "code": None, "label": None},
        {"start": 0, "end": 4, "fragments": [[0, 4]], "code": "J45.9"},
    ],
)
def test_a_span_that_lacks_what_it_needs_is_refused_with_null_too(tmp_path: Path, span: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="expected"):
        spans_of(tmp_path, span)


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "n", "text": "canary", "spans": [], "spans": []}',
        '{"id": "n", "id": "n", "text": "canary"}',
        '{"id": "n", "text": "canary", "spans": [{"start": 0, "end": 3, "code": "R05", "code": "R05"}]}',
        '{"id": "n", "text": "canary", "meta": {"canary": 1, "canary": 2}}',
    ],
)
def test_a_repeated_key_is_refused_or_counted_as_broken(tmp_path: Path, line: str) -> None:
    path = notes_file(tmp_path, line, {"id": "m", "text": "Asma."})
    with pytest.raises(BadInputError, match=r"notes\.jsonl:1: a key that stands twice in one object") as caught:
        list(read(path))
    assert "canary" not in str(caught.value)
    skipped: Counter[str] = Counter()
    assert [note.id for note in read(path, skip_bad=True, skipped=skipped)] == ["m"]
    assert skipped == {"broken JSON": 1}


def test_a_repeated_key_of_brat_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("Asma.")
    (tmp_path / "n.ann").write_text("")
    (tmp_path / "metadata.jsonl").write_text('{"id": "n", "patient": "p", "patient": "q"}\n')
    with pytest.raises(BadInputError, match="a key that stands twice"):
        list(brat.read(tmp_path))


def test_a_repeated_key_beside_the_codes_is_no_list_of_codes(tmp_path: Path) -> None:
    (tmp_path / "codes.json").write_text('[{"code": "R05", "code": "R06"}]')
    with pytest.raises(UserError, match="cannot be read as JSON"):
        labels.load(tmp_path / "codes.json")


def skipped_of(folder: Path, *fields: dict[str, Any]) -> Counter[str]:
    skipped: Counter[str] = Counter()
    notes = [{"id": f"n{number}", "text": "Asma."} | each for number, each in enumerate(fields)]
    list(read(notes_file(folder, *notes), skipped=skipped))
    return skipped


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("label", "unknown field label (ignored; did you mean spans?)"),
        ("entities", "unknown field entities (ignored; did you mean spans?)"),
        ("Annotations", "unknown field Annotations (ignored; did you mean spans?)"),
        ("span", "unknown field span (ignored; did you mean spans?)"),  # a slip
        ("SPANS", "unknown field SPANS (ignored; did you mean spans?)"),
        ("subject_id", "unknown field subject_id (ignored; did you mean patient?)"),
        ("lang", "unknown field lang (ignored; did you mean language?)"),
        ("age", "unknown field age (ignored)"),
        ("label_2", "unknown field label_2 (ignored)"),
        ("Tos seca", "unknown field (ignored)"),  # no name of a field: it may be text
        ("X1234567L", "unknown field (ignored)"),  # nor this one, of a person
        ("a" * 31, "unknown field (ignored)"),
    ],
)
def test_an_unknown_field_is_counted_by_its_name(tmp_path: Path, name: str, counted: str) -> None:
    assert skipped_of(tmp_path, {name: [1]}, {name: [1]}) == {counted: 2}


def test_an_unknown_field_of_a_span_is_counted_as_such(tmp_path: Path) -> None:
    span = {"start": 0, "end": 4, "code": "J45.9", "label_id": 3, "icd": "x"}
    assert skipped_of(tmp_path, {"spans": [span]}) == {
        "unknown field label_id of a span (ignored)": 1,
        "unknown field icd of a span (ignored; did you mean code?)": 1,
    }


def test_a_file_whose_keys_are_data_shows_few_of_them(tmp_path: Path) -> None:
    letters = [f"word_{letter}" for letter in "abcdefghijklmnop"]  # 16
    skipped = skipped_of(tmp_path, *({name: 1} for name in letters), {"word_a": 1})
    assert skipped["unknown field word_a (ignored)"] == 2
    assert len(skipped) == 13  # 12 names, and all others together
    assert skipped["unknown field (ignored)"] == 4


def test_every_reason_is_short_enough_to_travel(tmp_path: Path) -> None:
    names = ["a" * 30, "start_offset", "startoffset", "patient_id", "languages", "fragmentss"]
    skipped = skipped_of(tmp_path, {"spans": [{"start": 0, "end": 4, "code": "J45.9"} | dict.fromkeys(names, 1)]})
    assert max(map(len, skipped)) <= 80  # as clinfed/protocol.py has it


def test_an_empty_string_is_absent_in_a_span_and_for_all_spans(tmp_path: Path) -> None:
    empty = {"start": "", "end": "", "text": "", "label": "", "fragments": [[0, 4]], "code": "J45.9"}
    assert spans_of(tmp_path, empty) == (Span(((0, 4),), "J45.9"),)
    (note,) = read(notes_file(tmp_path, {"id": "n", "text": "Asma i tos.", "spans": ""}))
    assert note.spans == ()


def test_a_key_that_is_a_code_is_not_shown(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    list(read(notes_file(tmp_path, {"id": "n", "text": "tos", "J45": 1, "R05": [1]}), skipped=skipped))
    assert skipped == {"unknown field (ignored)": 2}


@pytest.mark.parametrize("name", ["text", "surface", "covered_text", "surface_form", "span_text", "quote", "exact"])
def test_a_surface_is_checked_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    span = {"start": 0, "end": 4, "code": "J45.9"}
    assert spans_of(tmp_path, span | {name: "Asma"}) == (Span(((0, 4),), "J45.9"),)
    with pytest.raises(BadInputError, match="the surface of span 1 is not what stands at its offsets"):
        spans_of(tmp_path, span | {name: "tos"})
