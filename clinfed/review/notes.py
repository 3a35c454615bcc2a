"""What the page shows: an index of all notes without texts, and one note at a time, cut where mentions begin or end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinfed.corpus.note import Note, Span
from clinfed.corpus.prediction_details import Details
from clinfed.corpus.titles import Titles
from clinfed.evaluation.mistakes import KINDS, Mention, compare
from clinfed.evaluation.report.highlights import stretches

PREDICTED = "predicted"  # the one kind where there is no gold
ADDED = "added"  # by the reviewer: neither gold nor predicted
LANES = 6  # underlines that a line of text has room for; more mentions than that on one word share them


@dataclass(frozen=True)
class Review:
    """Notes beside their predictions. mentions: of each note, in reading order; kinds: those that may occur."""

    notes: Sequence[Note]
    mentions: Sequence[Sequence[Mention]]
    kinds: tuple[str, ...]
    titles: Titles
    details: Details

    @classmethod
    def of(
        cls, notes: Iterable[Note], predicted: Mapping[str, Iterable[Span]], *, titles: Titles, details: Details
    ) -> "Review":
        """Return the review; where no note has a span there is no gold, and nothing to compare with."""
        notes = list(notes)
        found = [predicted.get(note.id, ()) for note in notes]
        if any(note.spans for note in notes):
            mentions = [compare(note.spans, spans) for note, spans in zip(notes, found, strict=True)]
            return cls(notes, mentions, KINDS, titles, details)
        alone = [[Mention(PREDICTED, None, span) for span in sorted(set(spans))] for spans in found]
        return cls(notes, alone, (PREDICTED,), titles, details)

    def index(self) -> dict[str, Any]:
        """Return ids, languages and mentions of all notes, for lists and filters.

        A note is [id, language, [kind, gold code, predicted code, ...]], three numbers a mention: places in kinds and
        codes, -1 where there is none.
        """
        codes = sorted({span.code for each in self.mentions for mention in each for span in mention.spans})
        place = {code: number for number, code in enumerate(codes)}
        rows = []
        for note, mentions in zip(self.notes, self.mentions, strict=True):
            numbers = []
            for mention in mentions:
                of_code = [place[span.code] if span else -1 for span in (mention.gold, mention.predicted)]
                numbers += [self.kinds.index(mention.kind), *of_code]
            rows.append([note.id, note.language, numbers])
        return {"kinds": self.kinds, "codes": [[code, self.titles(code, "")] for code in codes], "notes": rows}

    def note(self, number: int, added: Iterable[Span] = ()) -> dict[str, Any]:
        """Return one note: its text in pieces, each with the mentions that cover it, and the mentions.

        A piece is [text, {mention: side}]; side: "gold", "predicted" or "both". added: mentions of the reviewer's,
        which stand last, under a kind of their own.
        """
        note, mentions = self.notes[number], [*self.mentions[number], *(Mention(ADDED, None, span) for span in added)]
        placed = [(row, side, span) for row, mention in enumerate(mentions) for side, span in _sides(mention)]
        pieces = []
        for start, end, covering in stretches(len(note.text), [span for _, _, span in placed]):
            sides: dict[int, str] = {}
            for row, side, _ in (placed[at] for at in covering):
                sides[row] = "both" if row in sides else side
            pieces.append([note.text[start:end], sides])
        rows = [
            {"kind": self._place_of(mention.kind), "lane": lane} | self._details_of(note, mention)
            for mention, lane in zip(mentions, lanes(mentions), strict=True)
        ]
        return {"id": note.id, "language": note.language, "pieces": pieces, "mentions": rows}

    def _place_of(self, kind: str) -> int:
        return len(self.kinds) if kind == ADDED else self.kinds.index(kind)

    def _details_of(self, note: Note, mention: Mention) -> dict[str, Any]:
        """Return code, title, text, places and score of the gold and of the predicted span, as far as there are."""
        found = {}
        for side, span in _sides(mention):
            details = self.details.get((note.id, span)) if side == "predicted" else None
            found[side] = {
                "code": span.code,
                "title": self.titles(span.code, note.language) or (details.title if details else ""),
                "text": " … ".join(note.text[start:end] for start, end in span.fragments),
                "places": ", ".join(f"{start}–{end}" for start, end in span.fragments),
                "score": details.score if details else None,
            }
        return found


def lanes(mentions: Sequence[Mention]) -> list[int]:
    """Return for each mention the line below the text that it is drawn on: none over another."""
    ends = [0] * LANES
    chosen: dict[int, int] = {}
    starts = [min(span.start for span in mention.spans) for mention in mentions]
    for place in sorted(range(len(mentions)), key=starts.__getitem__):
        lane = next((lane for lane, end in enumerate(ends) if end <= starts[place]), len(chosen) % LANES)
        ends[lane] = max(ends[lane], *(span.end for span in mentions[place].spans))
        chosen[place] = lane
    return [chosen[place] for place in range(len(mentions))]


def _sides(mention: Mention) -> list[tuple[str, Span]]:
    return [(side, span) for side, span in (("gold", mention.gold), ("predicted", mention.predicted)) if span]
