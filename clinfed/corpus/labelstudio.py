"""Notes for Label Studio and from it: a JSON list of tasks with annotations, or predictions of predicted notes.

Offsets count characters (code points); old versions count UTF-16 code units. Results bring the words at their offsets,
which tell: a file of another unit is refused with the unit's name.
Source: HumanSignal/label-studio, docs/source/guide/predictions.md and web/libs/editor/src/utils/selection-tools.js.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from clinfed.corpus import input_checks, jsonlines
from clinfed.corpus.doccano import label_field
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, PredictedNote
from clinfed.corpus.writers import appearing, single

FROM, TO = "label", "text"  # names in the labelling configuration
MODEL = "clinfed"
CONFIG = """<View>
  <Style>.htx-text {{ white-space: pre-wrap; }}</Style>
  <Labels name="label" toName="text">
{labels}  </Labels>
  <Text name="text" value="$text"/>
</View>
"""
BREAK = "\\n"
UNANNOTATED = "task without annotation (left out)"


def write_labelstudio(notes: Iterable[Note], path: str | Path) -> None:
    """Write tasks, and beside them NAME.xml, the labelling configuration of a project that can show them.

    Raises: UserError for a mention of several parts, which Label Studio cannot have.
    """
    target = Path(path)
    codes: set[str] = set()
    with appearing(target) as stream, appearing(target.with_suffix(".xml")) as config:
        stream.write("[")
        for number, note in enumerate(notes, 1):
            input_checks.check_text(f"{target}: task {number}", note.text)
            codes.update(span.code for span in note.spans)
            stream.write(("\n" if number == 1 else ",\n") + jsonlines.dump_object(_task(target, note)))
        stream.write("\n]\n")
        labels = "".join(f"    <Label value={quoteattr(code)}/>\n" for code in sorted(codes))
        config.write(CONFIG.format(labels=labels))


def _task(target: Path, note: Note) -> dict[str, Any]:
    results = [_result(target, note, number) for number in range(len(note.spans))]
    data = {"text": note.text, "note_id": note.id, **jsonlines.metadata(note)}
    if isinstance(note, PredictedNote):
        return {"data": data, "predictions": [{"model_version": MODEL, "result": results}]}
    return {"data": data, "annotations": [{"result": results}]}


def _result(target: Path, note: Note, number: int) -> dict[str, Any]:
    span, prediction = note.spans_with_predictions[number]
    start, end = single(target, span)
    value = {"start": start, "end": end, "text": note.text[start:end], "labels": [span.code]}
    result: dict[str, Any] = {
        "id": f"m{number + 1}",
        "from_name": FROM,
        "to_name": TO,
        "type": "labels",
        "value": value,
    }
    if prediction and prediction.title:
        result["meta"] = {"text": [prediction.title]}
    if prediction and math.isfinite(prediction.score):
        result["score"] = round(prediction.score, jsonlines.SCORE_DIGITS)
    return result


def parse(where: str, task: Any, skipped: Counter[str], *, predicted: bool = False) -> Note | None:
    """Return the note of one task, None for one that nobody has annotated, which is counted.

    predicted: read what was predicted instead. Raises: BadInputError.
    """
    match task:
        case {"data": {"text": str(text), **data}}:
            pass
        case _:
            expected = "objects with data.text, as the export JSON has them (not JSON-MIN)"
            raise BadInputError(where, "broken task", "a task without its text", expected)
    results = _chosen(where, task, "predictions" if predicted else "annotations")
    if results is None:
        skipped[UNANNOTATED] += 1
        return None
    spans = [span for result in results for span in _spans(where, result, text, skipped)]
    number = task.get("id")
    id_ = data.get("note_id") or data.get("id") or (str(number) if type(number) is int else number)
    known = {name: data[name] for name in jsonlines.METADATA if name in data}
    return jsonlines.note_of(where, {"id": id_, "text": text, "spans": spans} | known, skipped)


def _chosen(where: str, task: dict[str, Any], kind: str) -> Sequence[Any] | None:
    """Return the results of the one annotation that counts: none that was cancelled; of several, the ground truth."""
    given = task.get(kind) or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadInputError(where, "broken task", f"{kind} that are no list of objects", "a list of objects")
    there = [each for each in given if not each.get("was_cancelled")]
    if len(there) > 1:
        there = [each for each in there if each.get("ground_truth")] or there
    if len(there) > 1:
        found = f"{len(there)} {kind} of one task"
        raise BadInputError(where, "several annotations", found, "one, or one that is marked as ground truth")
    if not there:
        return None
    results = there[0].get("result") or []
    if not isinstance(results, list):
        raise BadInputError(where, "broken task", "a result that is no list", "a list of results")
    return results


def _spans(where: str, result: Any, text: str, skipped: Counter[str]) -> list[dict[str, Any]]:
    """Return a result as objects of the project's schema, one for each of its labels; other kinds are counted."""
    match result:
        case {"type": "labels", "value": {"start": start, "end": end, "labels": list(labels), **rest}} if all(
            isinstance(label, str) for label in labels
        ):
            surface = {"text": _surface(rest["text"], text)} if rest.get("text") else {}
            return [{"start": start, "end": end, label_field(label): label} | surface for label in labels]
        case {"type": str(kind)} if kind != "labels":
            skipped["result of another kind than labels (ignored)"] += 1
            return []
    raise BadInputError(where, "broken task", "a result without start, end or labels", "results of Labels on a Text")


def _surface(given: Any, text: str) -> Any:
    """Return a result's words with line ends as they are: Label Studio writes a backslash and n for each."""
    return given.replace(BREAK, "\n") if isinstance(given, str) and BREAK not in text else given
