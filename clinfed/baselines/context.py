"""Left context: whether a cue before a match says that the note's patient does not have the diagnosis.

A cue counts up to REACH words to the left, and not across the end of a sentence. The method is NegEx's; the words, in
Spanish and Catalan, are ours, and few on purpose: an opponent that anyone can read in a minute.

Source: Chapman et al. 2001, A Simple Algorithm for Identifying Negated Findings and Diseases in Discharge Summaries.
"""

import re

REACH = 5  # words; as in NegEx

NEGATION = (
    *("no", "sin", "niega", "negado", "descarta", "descartado", "descartada", "ausencia", "tampoco", "ni"),
    *("sense", "nega", "descartat", "absència", "tampoc"),
)
FAMILY = (
    *("madre", "padre", "hermano", "hermana", "hijo", "hija", "abuelo", "abuela", "tío", "tía", "familiar"),
    *("familiares", "familia", "mare", "pare", "germà", "germana", "fill", "filla", "avi", "àvia", "familiars"),
)
PREVENTION = (
    *("vacuna", "vacunación", "prevención", "prevenir", "profilaxis", "cribado", "despistaje", "riesgo"),
    *("vacunació", "prevenció", "profilaxi", "cribratge", "cribatge", "risc"),
)
CUES = frozenset((*NEGATION, *FAMILY, *PREVENTION))

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.;:?!\n]")
_FARTHEST = 120  # characters: more than REACH words are long


def excluded(lowered: str, start: int) -> bool:
    """Return whether a cue stands before a place of a text in lower case."""
    before = _SENTENCE_END.split(lowered[max(0, start - _FARTHEST) : start])[-1]
    return not CUES.isdisjoint(_WORD.findall(before)[-REACH:])
