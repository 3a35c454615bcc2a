"""A note as pieces to highlight: what was annotated, what was predicted, and where the two agree."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from clinfed.corpus.note import Note, Span

RIGHT, MISSED, EXTRA = "right", "missed", "extra"


@dataclass(frozen=True)
class Piece:
    """A stretch of text that the same mentions cover; marks: (kind, code), none outside of mentions."""

    text: str
    marks: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """Return the kind to colour by: a piece that is right and something else, too, is shown as that."""
        kinds = {kind for kind, _ in self.marks}
        return next((kind for kind in (MISSED, EXTRA, RIGHT) if kind in kinds), "")


def pieces(note: Note, predicted: Iterable[Span]) -> list[Piece]:
    """Return the note's text in pieces, in order; together they are the text."""
    gold, found = set(note.spans), set(predicted)
    kinds = [(span, RIGHT if span in found else MISSED) for span in gold]
    kinds += [(span, EXTRA) for span in found - gold]
    cuts = {0, len(note.text)} | {end for span, _ in kinds for fragment in span.fragments for end in fragment}
    places = sorted(cuts)
    parts = []
    for start, end in itertools.pairwise(places):
        marks = sorted({(kind, span.code) for span, kind in kinds if _covers(span, start, end)})
        parts.append(Piece(note.text[start:end], tuple(marks)))
    return parts


def _covers(span: Span, start: int, end: int) -> bool:
    return any(first <= start and end <= last for first, last in span.fragments)
