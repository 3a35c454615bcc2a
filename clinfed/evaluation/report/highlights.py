"""A note as pieces to highlight: what was annotated, what was predicted, and where the two agree."""

import itertools
from collections.abc import Iterable, Sequence
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
    parts = []
    for start, end, covering in stretches(len(note.text), [span for span, _ in kinds]):
        marks = sorted({(kinds[number][1], kinds[number][0].code) for number in covering})
        parts.append(Piece(note.text[start:end], tuple(marks)))
    return parts


def stretches(length: int, spans: Sequence[Span]) -> list[tuple[int, int, list[int]]]:
    """Return a text of this length cut where a span begins or ends: start, end, and numbers of the covering spans."""
    cuts = {0, length} | {end for span in spans for fragment in span.fragments for end in fragment}
    return [
        (start, end, [number for number, span in enumerate(spans) if _covers(span, start, end)])
        for start, end in itertools.pairwise(sorted(cuts))
    ]


def _covers(span: Span, start: int, end: int) -> bool:
    return any(first <= start and end <= last for first, last in span.fragments)
