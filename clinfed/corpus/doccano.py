"""Notes for doccano and from it: one JSON object a line, with labels [start, end, code] (sequence labelling).

Offsets count characters (code points), unless a doccano project counts grapheme clusters as one: leave that off. Two
mentions on the same words need a project that allows overlapping spans. doccano keeps further fields as metadata and
gives them back, but numbers its documents itself: the note's id stands in `note_id`.
Source: doccano/doccano, backend/data_import and backend/data_export.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clinfed.corpus import icd10, input_checks, jsonlines
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note
from clinfed.corpus.writers import appearing, single

LABELS = ("label", "labels", "entities")  # newer and older exports
ITS_OWN = ("id", "Comments", "comments", "annotation_approver", "filename")  # doccano's fields, of no use here
RELATIONS = "relations"
_EXPECTED = "[[start, end, label], ...], or objects with start_offset, end_offset and label"


def write_doccano(notes: Iterable[Note], path: str | Path) -> None:
    """Write one line a note. Scores and titles are left out: doccano has no place for them.

    Raises: UserError for a mention of several parts, which doccano cannot have.
    """
    target = Path(path)
    with appearing(target) as stream:
        for number, note in enumerate(notes, 1):
            input_checks.check_text(f"{target}:{number}", note.text)
            labels = [[*single(target, span), span.code] for span in note.spans]
            fields = {"note_id": note.id, "text": note.text, "label": labels, **jsonlines.metadata(note)}
            stream.write(jsonlines.dump_object(fields) + "\n")


def parse(where: str, line: str, skipped: Counter[str]) -> Note:
    """Return the note of one line; what is not read is counted in skipped. Raises: BadInputError."""
    fields = jsonlines.parse_object(where, line)
    number = fields.get("id")
    id_ = fields.pop("note_id", None) or (str(number) if type(number) is int else number)
    given: Any = next((value for name in LABELS if (value := fields.pop(name, None)) is not None), [])
    if not isinstance(given, list):
        raise BadInputError(where, "broken spans", "the labels are no list", _EXPECTED)
    if relations := fields.pop(RELATIONS, None):
        skipped["relation, event or equivalence"] += len(relations) if isinstance(relations, list) else 1
    rest = {name: value for name, value in fields.items() if name not in (*ITS_OWN, *LABELS)}
    spans = [_span(where, each) for each in given]
    return jsonlines.note_of(where, rest | {"id": id_, "spans": spans}, skipped)


def _span(where: str, given: Any) -> dict[str, Any]:
    """Return a label as an object of the project's schema, which is checked as such."""
    match given:
        case [start, end, str(label)] | {"start_offset": start, "end_offset": end, "label": str(label)}:
            return {"start": start, "end": end, label_field(label): label}
    raise BadInputError(where, "broken spans", "a label without start, end or name", _EXPECTED)


def label_field(label: str) -> str:
    """Return the field of the project's schema that a label of another tool's is: a code, or a word for itself."""
    return "code" if icd10.is_code(label) else "label"
