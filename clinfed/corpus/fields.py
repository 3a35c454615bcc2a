"""Fields that no reader knows: counted under their name, with the known field that may be meant.

A name is part of a schema and may be shown, a value never. What does not look like such a name may be text of a note,
and a file whose keys are data has too many of them: both are counted without a name.
"""

import difflib
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from clinfed.corpus import icd10

_NAME = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,27}[0-9]{0,2}")  # a name with more digits may be a patient's number
_MOST_NAMES = 12  # a schema has few fields
MEANT = "did you mean"
_BEGINNING = "unknown field"
_LIKE = 0.8  # of difflib's ratio: "span" and "spans" have .89, "title" and "text" .44

# What other tools and corpora call these fields.
_MEANT = {
    "spans": "label labels entity entities ents annotation annotations mention mentions ner tags diagnoses codes",
    "id": "note_id doc_id document_id noteid docid",
    "text": "note document content body",
    "language": "lang locale idioma",
    "patient": "patient_id patientid subject subject_id person person_id pid paciente paciente_id id_paciente"
    " pacient_id id_pacient mrn nhc cip",
    "clinic": "hospital centre center site institution",
    "split": "set fold subset partition",
    "start": "begin start_offset start_char startoffset",
    "end": "stop end_offset end_char endoffset",
    "fragments": "offsets ranges",
    "code": "icd icd10 icd_code cie cie10",
}
_KNOWN_AS = {alias: field for field, aliases in _MEANT.items() for alias in aliases.split()}


def count_unknown(
    fields: Mapping[str, Any], known: Collection[str], skipped: Counter[str], of: str = "", *, named: bool = True
) -> None:
    """Count in skipped the fields that are not known and not null. of: what has them, " of a span".

    named: whether all are counted by name, else only those for which a known field may be meant.
    """
    for name, value in fields.items():
        if name in known or value is None:
            continue
        suggestion = _suggestion(name, known)
        is_name = bool(_NAME.fullmatch(name)) and not icd10.is_code(name) and (named or bool(suggestion))
        reason = f"{_BEGINNING} {name}{of} (ignored{suggestion})"
        shown = sum(each.startswith(f"{_BEGINNING} ") for each in skipped)
        if not is_name or (reason not in skipped and shown >= _MOST_NAMES):
            reason = f"{_BEGINNING}{of} (ignored)"
        skipped[reason] += 1


def _suggestion(name: str, known: Collection[str]) -> str:
    """Return "; did you mean ...?" where a known field is close, or known to others by this name."""
    written = name.lower()
    meant = _KNOWN_AS.get(written) or next(iter(difflib.get_close_matches(written, known, 1, _LIKE)), "")
    return f"; {MEANT} {meant}?" if meant in known else ""
