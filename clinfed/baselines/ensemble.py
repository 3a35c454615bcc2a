"""Ensemble: a tagger's spans beside those of a clinic's private lexicon, as far as unseen notes justify each.

A lexicon is sure of the forms that it knows, a tagger also finds others. Where both find the same span it is kept; else
a span needs a score, and which score is enough is chosen by strict micro-F1 on the clinic's own validation notes, from
which neither has trained. Lexicon and thresholds stay at the clinic. Of fewer than LEAST_PATIENTS validation patients
nothing is chosen: the tagger's spans alone are kept.

    notes = [(note.spans, tagger_scores[note.id], lexicon.scored(note.text)) for note in validation]
    ensemble = Ensemble.fit(notes, patients=len({note.unit for note in validation}))
    ensemble.spans(tagger_scores[note.id], lexicon.scored(note.text))
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from clinfed.corpus.note import Span

Scored = Mapping[Span, float]  # spans of one note that do not overlap, with scores in [0, 1]

NEVER = 2.0  # above every score
LEAST = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, NEVER)
# What a span is to the other system's: of the tagger alone, of the tagger against the lexicon, of the lexicon alone.
KINDS = ("tagger", "against", "lexicon")
LEAST_PATIENTS = 2  # one patient's notes repeat the same few diagnoses, and so say nothing of others


@dataclass(frozen=True)
class Ensemble:
    """The least scores with which a span is kept.

    tagger: the tagger's, where the lexicon finds nothing. against: the tagger's, instead of what the lexicon finds
    there; below it the lexicon's is kept. lexicon: the lexicon's, where the tagger finds nothing.
    """

    tagger: float
    against: float
    lexicon: float

    def spans(self, tagged: Scored, known: Scored) -> frozenset[Span]:
        """Return the spans of one note that are kept; they never overlap."""
        kept = set(tagged.keys() & known.keys())
        for kind, score, ours, theirs in _disputed(tagged, known):
            kept |= ours if score >= getattr(self, kind) else theirs
        return frozenset(kept)

    @classmethod
    def fit(cls, notes: Iterable[tuple[Collection[Span], Scored, Scored]], *, patients: int) -> "Ensemble":
        """Return the thresholds with the best strict micro-F1 on (gold, tagger's, lexicon's) of each note.

        All combinations of LEAST are tried; of equal ones the one that believes the lexicon most is kept.
        patients: whose notes these are; with fewer than LEAST_PATIENTS it is the tagger alone.
        """
        if patients < LEAST_PATIENTS:
            return TAGGER_ALONE
        gold = 0
        fixed = np.zeros(2)  # true positives, predicted spans
        by_kind = {kind: np.zeros((len(LEAST), 2)) for kind in KINDS}
        for spans, tagged, known in notes:
            truth = set(spans)
            gold += len(truth)
            fixed += _outcome(tagged.keys() & known.keys(), truth)
            for kind, score, ours, theirs in _disputed(tagged, known):
                kept = np.asarray(LEAST) <= score
                by_kind[kind][kept] += _outcome(ours, truth)
                by_kind[kind][~kept] += _outcome(theirs, truth)
        best, chosen = -1.0, cls(NEVER, NEVER, 0.0)
        rising = range(len(LEAST))
        for places in product(rising[::-1], rising[::-1], rising):
            hits, predicted = fixed + sum(by_kind[kind][place] for kind, place in zip(KINDS, places, strict=True))
            f1 = 2 * hits / max(1.0, predicted + gold)
            if f1 > best:
                best, chosen = f1, cls(*(LEAST[place] for place in places))
        return chosen


TAGGER_ALONE = Ensemble(0.0, 0.0, NEVER)


def _disputed(tagged: Scored, known: Scored) -> Iterator[tuple[str, float, set[Span], set[Span]]]:
    """Yield what only one side found or both found otherwise: kind, score, what to keep from it on, what below it."""
    agreed = tagged.keys() & known.keys()
    ours, theirs = tagged.keys() - agreed, known.keys() - agreed
    for spans in _overlapping(ours | theirs):
        if not ours & spans:
            yield "lexicon", min(known[span] for span in spans), spans, set()
        elif not theirs & spans:
            yield "tagger", min(tagged[span] for span in spans), spans, set()
        else:
            yield "against", min(tagged[span] for span in ours & spans), ours & spans, theirs & spans


def _overlapping(spans: Collection[Span]) -> Iterator[set[Span]]:
    """Yield the spans in groups: those that overlap, each with the next."""
    group: set[Span] = set()
    end = 0
    for span in sorted(spans):
        if group and span.start >= end:
            yield group
            group = set()
        group.add(span)
        end = max(end, span.end)
    if group:
        yield group


def _outcome(kept: Collection[Span], truth: set[Span]) -> tuple[int, int]:
    return len(truth.intersection(kept)), len(kept)
