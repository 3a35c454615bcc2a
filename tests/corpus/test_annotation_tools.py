"""doccano and Label Studio: what is written for them, what comes back, and what their exports say otherwise."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from clinfed.corpus import kinds
from clinfed.corpus.doccano import write_doccano
from clinfed.corpus.forms import format_of, writer_of
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.labelstudio import write_labelstudio
from clinfed.corpus.note import Note, PredictedNote, Prediction, Span
from clinfed.corpus.readers import doccano, labelstudio
from clinfed.errors import UserError
from tests.corpus.test_round_trips import annotated_notes

#       0123456789
TEXT = "té 😷 i tos\nseca canary"
COUGH, MASK = Span(((7, 15),), "R05"), Span(((3, 4),), "Z29.0")
NOTE = Note("n1", TEXT, (MASK, COUGH), "ca", "p1", "nord", "train")
PREDICTED = PredictedNote("n2", TEXT, (COUGH,), "ca", predictions=(Prediction("Tos", 0.25),))


def whole(notes: list[Note]) -> list[Note]:
    """Return the notes without mentions of several parts, which these tools cannot have."""
    return [
        Note(note.id, note.text, tuple(each for each in note.spans if len(each.fragments) == 1), note.language,
             note.patient, note.clinic, note.split)
        for note in notes
    ]  # fmt: skip


@pytest.mark.parametrize(("write", "read"), [(write_doccano, doccano.read), (write_labelstudio, labelstudio.read)])
@settings(max_examples=80, deadline=None)
@given(notes=annotated_notes())
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, write: Any, read: Any, notes: list[Note]
) -> None:
    file = tmp_path_factory.mktemp("tool") / f"notes.{'jsonl' if read is doccano.read else 'json'}"
    write(whole(notes), file)
    skipped: Counter[str] = Counter()
    assert list(read(file, skipped=skipped)) == whole(notes)
    assert not skipped


def test_doccano_gets_triples_in_characters(tmp_path: Path) -> None:
    write_doccano([NOTE, PREDICTED], tmp_path / "a.jsonl")
    first, second = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    assert first["label"] == [[3, 4, "Z29.0"], [7, 15, "R05"]]  # UTF-16 units would be [3, 5] and [8, 16]
    metadata = {"language": "ca", "patient": "p1", "clinic": "nord", "split": "train"}
    assert first == {"note_id": "n1", "text": TEXT, "label": first["label"], **metadata}
    assert second["label"] == [[7, 15, "R05"]]


def test_labelstudio_gets_annotations_of_notes_and_predictions_of_predicted_ones(tmp_path: Path) -> None:
    write_labelstudio([NOTE, PREDICTED], tmp_path / "a.json")
    first, second = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert first["data"] == {
        "text": TEXT, "note_id": "n1", "language": "ca", "patient": "p1", "clinic": "nord", "split": "train"
    }  # fmt: skip
    assert first["annotations"][0]["result"][0] == {
        "id": "m1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 3, "end": 4, "text": "😷", "labels": ["Z29.0"]},
    }
    assert "annotations" not in second
    [prediction] = second["predictions"]
    [result] = prediction["result"]
    assert (prediction["model_version"], result["score"], result["meta"]) == ("clinfed", 0.25, {"text": ["Tos"]})
    config = (tmp_path / "a.xml").read_text()
    assert '<Labels name="label" toName="text">\n    <Label value="R05"/>\n    <Label value="Z29.0"/>' in config


def test_an_unannotated_task_is_left_out_and_its_predictions_can_be_asked_for(tmp_path: Path) -> None:
    write_labelstudio([NOTE, PREDICTED], tmp_path / "a.json")
    skipped: Counter[str] = Counter()
    assert list(labelstudio.read(tmp_path / "a.json", skipped=skipped)) == [NOTE]
    assert skipped == {"task without annotation (left out)": 1}
    [found] = labelstudio.read(tmp_path / "a.json", predicted=True)
    assert (found.id, found.spans) == ("n2", (COUGH,))


@pytest.mark.parametrize(
    "labels",
    [
        {"label": [[7, 15, "r05"]]},
        {"labels": [[7, 15, "R05"]]},
        {"entities": [{"id": 7, "label": "R05", "start_offset": 7, "end_offset": 15}], "relations": []},
    ],
    ids=["label", "labels", "entities"],
)
def test_all_of_doccanos_exports_are_read(tmp_path: Path, labels: dict[str, Any]) -> None:
    line = {"id": 31, "text": TEXT, "Comments": [], "note_id": "n1", **labels}
    (tmp_path / "all.jsonl").write_text(json.dumps(line) + "\n\n")
    skipped: Counter[str] = Counter()
    assert list(doccano.read(tmp_path / "all.jsonl", skipped=skipped)) == [Note("n1", TEXT, (COUGH,))]
    assert not skipped
    line = {"id": 31, "text": TEXT, "label": [[0, 2, "SINTOMA"]]}  # not ours: doccano's own number
    (tmp_path / "all.jsonl").write_text(json.dumps(line))
    assert list(doccano.read(tmp_path)) == [Note("31", TEXT, (Span(((0, 2),), "SINTOMA"),))]


def task(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a task as Label Studio exports it, with a result for each value."""
    results = [
        {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual", "value": value}
        for value in values
    ]
    annotation = {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "result": results}
    own = {"id": 9, "file_upload": "x.json", "drafts": [], "predictions": [], "meta": {}, "project": 1}
    return {**own, "annotations": [annotation], "data": {"text": TEXT}, **more}


def read_tasks(tmp_path: Path, *tasks: Any, **options: Any) -> list[Note]:
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    return list(labelstudio.read(tmp_path / "export.json", **options))


def test_labelstudios_own_export_is_read(tmp_path: Path) -> None:
    cough = {"start": 7, "end": 15, "text": "tos\\nseca", "labels": ["R05", "J40"]}  # a line end is \ and n there
    cancelled = {"result": [{"type": "choices"}], "was_cancelled": True}
    exported = task(cough)
    exported["annotations"].append(cancelled)
    exported["annotations"][0]["result"].append({"type": "choices", "value": {"choices": ["canary"]}})
    skipped: Counter[str] = Counter()
    assert read_tasks(tmp_path, exported, skipped=skipped) == [Note("9", TEXT, (COUGH, Span(((7, 15),), "J40")))]
    assert skipped == {"result of another kind than labels (ignored)": 1}
    several = task(cough)
    several["annotations"] = [{"result": []}, {**several["annotations"][0], "ground_truth": True}]
    assert read_tasks(tmp_path, several)[0].spans[0] == COUGH


def test_offsets_in_utf16_units_are_refused_with_their_unit(tmp_path: Path) -> None:
    older = task({"start": 8, "end": 16, "text": "tos\\nseca", "labels": ["R05"]})
    with pytest.raises(BadInputError, match=r"export\.json: task 1: .*offsets count UTF-16 code units"):
        read_tasks(tmp_path, older)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"text": TEXT, "label": []}, "a task without its text; expected objects with data.text"),  # JSON-MIN
        ("canary", "a task without its text"),
        (task(annotations=[{"result": []}, {"result": []}]), "2 annotations of one task"),
        (task(annotations=["canary"]), "no list of objects"),
        (task(annotations=[{"result": "canary"}]), "a result that is no list"),
        (task({"start": 7, "labels": ["R05"]}), "a result without start, end or labels"),
        (task({"start": "7", "end": 15, "labels": ["R05"]}), "offsets that are not pairs of whole numbers"),
        (task({"start": 7, "end": 99, "labels": ["R05"]}), "ends past the note"),
        (task({"start": 7, "end": 15, "labels": ["canary canary"]}), "no word"),
    ],
)
def test_broken_tasks_are_refused_or_counted_and_never_shown(tmp_path: Path, broken: Any, said: str) -> None:
    with pytest.raises(BadInputError, match="task 2: ") as refusal:
        read_tasks(tmp_path, task(data={"text": "bé"}), broken)
    assert said in str(refusal.value)
    assert "canary" not in str(refusal.value)
    skipped: Counter[str] = Counter()
    assert len(read_tasks(tmp_path, task(data={"text": "bé"}), broken, skip_bad=True, skipped=skipped)) == 1
    assert sum(skipped.values()) == 1


@pytest.mark.parametrize("write", [write_doccano, write_labelstudio])
def test_a_mention_of_several_parts_is_refused_and_nothing_is_written(tmp_path: Path, write: Any) -> None:
    with pytest.raises(UserError, match="a mention of several parts"):
        write([NOTE, Note("n3", TEXT, (Span(((0, 2), (7, 10)), "R05"),))], tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_the_ending_of_a_name_tells_the_tool(tmp_path: Path) -> None:
    for name, kind in (("x.doccano.jsonl", "doccano"), ("x.labelstudio.json", "labelstudio")):
        assert format_of(Path(name)) == kind
        writer_of(kind, with_text=False)([PREDICTED], tmp_path / name)
        assert kinds.kind_of(tmp_path / name) == kind
    assert format_of(Path("x.jsonl")) == "jsonl"
    assert kinds.count(tmp_path / "x.doccano.jsonl", "doccano") == 1
    notes = kinds.read(tmp_path / "x.doccano.jsonl", "doccano", skip_bad=False, skipped=Counter())
    assert [note.spans for note in notes] == [(COUGH,)]
