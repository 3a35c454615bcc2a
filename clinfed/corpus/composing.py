"""Letters with combining marks (decomposed Unicode, NFD) and the same letters as one character each (NFC)."""

import re
import unicodedata
from collections.abc import Sequence

MARKS = "\u0300-\u036f"  # combining diacritical marks, as in a regular expression's brackets

_CLUSTER = re.compile(rf".[{MARKS}]*", re.DOTALL)


def composed(text: str) -> tuple[str, Sequence[int]]:
    """Return the text with each letter and its marks as one character, where there is one, and the places of these.

    Units: the places are where each of its characters stands in the text given, in characters; the last is the end.
    """
    if unicodedata.is_normalized("NFC", text):
        return text, range(len(text) + 1)
    characters: list[str] = []
    places: list[int] = []
    for match in _CLUSTER.finditer(text):
        one = unicodedata.normalize("NFC", match[0])
        kept = one if len(one) == 1 else match[0]
        characters += kept
        places += range(match.start(), match.start() + len(kept))
    return "".join(characters), [*places, len(text)]
