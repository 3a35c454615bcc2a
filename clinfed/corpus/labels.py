"""The list of codes that all sides share: read from a file, never collected from clinics' notes."""

import re
from pathlib import Path

from clinfed.corpus import icd10, strict_json, terminologies
from clinfed.errors import UserError

_LABEL = re.compile(r"[^\W\d_][\w-]*")  # a word, such as FARMACO
_BEGINNING = re.compile(r"[A-Za-z]\d")  # of a code


def load(path: str | Path) -> list[str]:
    """Return the sorted codes of a JSON file that holds one list of them.

    Raises: UserError where the file is not such a list, names a code twice or holds none.
    """
    expected = 'a JSON list of codes such as ["E11.9", "I10"]'
    try:
        content = strict_json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        found = f"cannot be read as JSON ({type(error).__name__})"
        raise UserError(f"{path}: {found}; expected {expected}; correct corpus.labels") from None
    if not isinstance(content, list) or not content or not all(isinstance(code, str) for code in content):
        raise UserError(f"{path}: not a list of strings, or empty; expected {expected}; correct corpus.labels")
    codes = []
    for number, code in enumerate(content, 1):
        if name := terminologies.formed(code):
            found = f"entry {number} has the form of {name}'s codes"
            raise UserError(f"{path}: {found}; expected {expected}; correct the entry")
        if not icd10.is_code(code) and not is_label(code):
            raise UserError(f"{path}: entry {number} is not a code; expected {expected}; correct the entry")
        codes.append(icd10.normalise(code) if icd10.is_code(code) else code)
    if len(set(codes)) < len(codes):
        raise UserError(f"{path}: a code is listed twice; expected each once; remove the repetition")
    return sorted(codes)


def is_label(text: str) -> bool:
    """Return whether the text is a label that stands for itself: a word that does not begin like a code."""
    return bool(_LABEL.fullmatch(text)) and not _BEGINNING.match(text)


def shared(labels: str, corpus: str) -> list[str]:
    """Return the codes of the file `labels`, which this kind of corpus cannot do without. Raises UserError."""
    if not labels:
        found = f"corpus={corpus} has no public list of codes"
        expected = "a list that all sides share, never one collected from clinics' notes"
        raise UserError(f"corpus.labels: {found}; expected {expected}; pass corpus.labels=/absolute/codes.json")
    return load(labels)
