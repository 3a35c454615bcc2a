"""Votes: several taggers' spans of one note, joined by the mean of their scores. A tagger that lacks a span gives it 0.

scores = votes([one[note.id], other[note.id]])
spans = voted(scores, least_vote(validation))
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from clinfed.baselines.ensemble import Scored
from clinfed.corpus.note import Span
from clinfed.evaluation.counts import Counts

THRESHOLDS = tuple(step / 20 for step in range(1, 20))


def votes(taggers: Sequence[Scored]) -> dict[Span, float]:
    """Return each span that any tagger finds with the mean of all taggers' scores."""
    summed: defaultdict[Span, float] = defaultdict(float)
    for found in taggers:
        for span, score in found.items():
            summed[span] += score
    return {span: score / len(taggers) for span, score in summed.items()}


def voted(scores: Scored, least: float) -> list[Span]:
    """Return the spans whose score reaches the threshold, in text order; of overlapping ones the best."""
    kept: list[Span] = []
    for span in sorted((span for span in scores if scores[span] >= least), key=lambda each: (-scores[each], each)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept)


def least_vote(notes: Iterable[tuple[Collection[Span], Scored]]) -> float:
    """Return the threshold with the best strict micro-F1 on (gold, scores) of each note; of equal ones the lowest."""
    notes = list(notes)

    def f1(least: float) -> float:
        counts = Counts()
        for gold, scores in notes:
            truth, found = set(gold), set(voted(scores, least))
            counts += Counts(len(truth & found), len(found - truth), len(truth - found))
        return counts.f1

    return max(THRESHOLDS, key=f1)
