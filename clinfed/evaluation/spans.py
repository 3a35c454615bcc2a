"""Strict evaluation, the project's "correct": the same fragments and the same code in the same note.

Gold and prediction are sets of (note, fragments, code), so that overlapping, discontinuous and multi-code spans count
like any other. Which gold is meant (all, or what a tagger can represent) is the caller's choice, and to be named.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.bootstrap import Replicates, resample
from clinfed.evaluation.counts import Counts, SpanCounts


@dataclass(frozen=True, slots=True)
class EvaluatedNote:
    """One note's gold and predicted spans; unit: what the bootstrap keeps together (the patient, else the note)."""

    unit: str
    language: str
    gold: frozenset[Span]
    predicted: frozenset[Span]


def evaluated(gold: Iterable[Note], predicted: Mapping[str, Iterable[Span]]) -> list[EvaluatedNote]:
    """Return every gold note beside its predicted spans, by note id; a note without an entry has no predictions.

    Raises: ValueError where gold holds an id twice or predictions name notes that gold does not hold; it says how many,
    not which.
    """
    gold = list(gold)
    ids = {note.id for note in gold}
    if len(ids) < len(gold):
        raise ValueError(f"{len(gold) - len(ids)} of {len(gold)} gold notes repeat an id; expected each id once")
    if unknown := predicted.keys() - ids:
        raise ValueError(f"{len(unknown)} predicted note(s) are not among the {len(gold)} gold notes")
    return [
        EvaluatedNote(note.unit, note.language, frozenset(note.spans), frozenset(predicted.get(note.id, ())))
        for note in gold
    ]


def count_spans(
    notes: Iterable[EvaluatedNote],
    *,
    replicates: int = 1000,
    seed: int = 0,
    clinic: str = "",
    kind: type[SpanCounts] = SpanCounts,
) -> SpanCounts:
    """Return the strict counts of the notes, with bootstrap replicates.

    replicates: 0 where no interval is wanted. clinic: its name where two clinics may use the same ids; then give it for
    every system evaluated on these notes, since only equal (seed, clinic, unit) are paired. kind: of the counts.
    """
    by_code: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    units: defaultdict[str, defaultdict[str, Replicates]] = defaultdict(lambda: defaultdict(_zeros))
    for note in notes:
        # True positives, false positives, false negatives. Spans are equal if all their fragments and the code are.
        outcomes = (note.gold & note.predicted, note.predicted - note.gold, note.gold - note.predicted)
        for column, spans in enumerate(outcomes):
            units[note.unit][note.language][column] += len(spans)
            for span in spans:
                by_code[note.language, span.code][column] += 1
    sums = resample(units, replicates=replicates, seed=seed, clinic=clinic) if replicates else {}
    return kind({key: Counts(*counts) for key, counts in sorted(by_code.items())}, sums)


def _zeros() -> Replicates:
    return np.zeros(3, np.int64)
