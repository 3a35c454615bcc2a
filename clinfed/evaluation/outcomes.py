"""Outcomes: which kinds of mistakes a system makes, how it scores under looser rules, and how sure it was of each span.

Plain counts, which add up over clinics. They are kept beside the records of invented and public notes only
(artefacts.py); no real site counts or sends them.

A span's confidence is the score that the task's `decode` gives it. Confidences are counted in BINS bins of equal
width, each as its middle: a score derived from them is exact to half a bin.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2 (reliability, expected calibration error);
El-Yaniv and Wiener 2010, On the Foundations of Noise-free Selective Classification (precision at coverage).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from operator import add
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from clinfed.corpus.note import Note, Span
from clinfed.evaluation import artefacts
from clinfed.evaluation.counts import Counts
from clinfed.evaluation.mistakes import KINDS, compare, overlapping

BINS = 100  # of confidence, from 0 to 1
RELIABILITY_BINS = 10  # a row of the reliability table each, and the bins of the expected calibration error
RULES = ("strict", "overlap", "span only", "three characters")  # from the strictest on; what each means: _by_rule
CATEGORY = 3  # characters of an ICD-10 category


class Reliability(NamedTuple):
    """Spans whose confidences lie in [low, high): how many, how sure of them the system was, and how many are right."""

    low: float
    high: float
    spans: int
    confidence: float  # their mean, of the middles of the fine bins
    precision: float


class Covered(NamedTuple):
    """What is left where only the surest spans are kept. least: the confidence from which on they are."""

    coverage: float  # of all predicted spans
    least: float
    precision: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One system's outcomes. sure: spans by confidence that are wrong and right, (BINS, 2); zeros without any."""

    kinds: Mapping[str, int] = field(default_factory=dict)  # of mistakes.KINDS
    rules: Mapping[str, Counts] = field(default_factory=dict)  # of RULES
    sure: NDArray[np.int64] = field(default_factory=lambda: np.zeros((BINS, 2), np.int64))

    def __add__(self, other: Self) -> "Outcomes":
        """Return the merged outcomes, as if the notes of both had been counted together."""
        rules = {rule: self.rules.get(rule, Counts()) + other.rules.get(rule, Counts()) for rule in RULES}
        return Outcomes(Counter(self.kinds) + Counter(other.kinds), rules, self.sure + other.sure)

    @property
    def predicted(self) -> int:
        """Return the spans whose confidence is known."""
        return int(self.sure.sum())

    def reliability(self) -> list[Reliability]:
        """Return the bins that hold spans, from the least confident on."""
        found = []
        for place, part in enumerate(self.sure.reshape(RELIABILITY_BINS, -1, 2)):
            if spans := int(part.sum()):
                inside = slice(place * len(part), (place + 1) * len(part))
                confidence = float(part.sum(axis=1) @ _middles()[inside]) / spans
                low, high = place / RELIABILITY_BINS, (place + 1) / RELIABILITY_BINS
                found.append(Reliability(low, high, spans, confidence, int(part[:, 1].sum()) / spans))
        return found

    def calibration_error(self) -> float | None:
        """Return the expected calibration error: how far precision is from confidence in a bin, weighted by its spans.

        None without spans.
        """
        bins = self.reliability()
        return (
            sum(each.spans * abs(each.precision - each.confidence) for each in bins) / self.predicted if bins else None
        )

    def at_coverage(self, coverages: Iterable[float]) -> list[Covered]:
        """Return what is left at the smallest coverage that reaches each of these; [] without spans."""
        falling = self.sure[::-1]
        kept = [*accumulate(int(each) for each in falling.sum(axis=1))]
        right = [*accumulate(int(each) for each in falling[:, 1])]
        found = []
        for wanted in coverages if self.predicted else ():
            place = next(i for i, spans in enumerate(kept) if spans and spans >= wanted * self.predicted)
            covered = kept[place] / self.predicted
            found.append(Covered(covered, (BINS - 1 - place) / BINS, right[place] / kept[place]))
        return found


def merged(clinics: Mapping[str, Outcomes]) -> Outcomes:
    """Return the clinics' outcomes added up."""
    return reduce(add, clinics.values(), Outcomes())


def count_outcomes(notes: Iterable[Note], predicted: Mapping[str, Collection[Span]]) -> Outcomes:
    """Return the outcomes of predictions by note id. Confidences are counted where a prediction maps spans to them."""
    kinds: Counter[str] = Counter()
    rules: dict[str, Counts] = dict.fromkeys(RULES, Counts())
    sure = np.zeros((BINS, 2), np.int64)
    for note in notes:
        gold, found = frozenset(note.spans), predicted.get(note.id, ())
        kinds.update(mention.kind for mention in compare(gold, found))
        for rule, counts in _by_rule(gold, frozenset(found)):
            rules[rule] += counts
        for span, confidence in found.items() if isinstance(found, Mapping) else ():
            sure[min(int(confidence * BINS), BINS - 1), int(span in gold)] += 1
    return Outcomes({kind: kinds[kind] for kind in KINDS}, rules, sure)


def _by_rule(gold: frozenset[Span], found: frozenset[Span]) -> Iterator[tuple[str, Counts]]:
    """Yield the counts of one note under each rule.

    strict: exact span and code. overlap: the same code and a common character, one to one, exact ones first. span only:
    the exact span under any code. three characters: the exact span, and the code's category.
    """
    yield "strict", _counts(gold, found)
    pairs = len(gold & found) + len(overlapping(gold - found, found - gold))
    yield "overlap", Counts(pairs, len(found) - pairs, len(gold) - pairs)
    yield "span only", _counts({span.fragments for span in gold}, {span.fragments for span in found})
    yield "three characters", _counts(_categories(gold), _categories(found))


def _categories(spans: Iterable[Span]) -> set[Any]:
    return {(span.fragments, span.code[:CATEGORY]) for span in spans}


def _counts(gold: Collection[Any], found: Collection[Any]) -> Counts:
    gold, found = set(gold), set(found)
    return Counts(len(gold & found), len(found - gold), len(gold - found))


def _middles() -> NDArray[np.float64]:
    return (np.arange(BINS) + 0.5) / BINS


def to_json(systems: Mapping[str, Outcomes]) -> dict[str, Any]:
    """Return one clinic's outcomes as they are kept, by system."""
    return {
        system: {
            "kinds": dict(each.kinds),
            "rules": {rule: [counts.tp, counts.fp, counts.fn] for rule, counts in each.rules.items()},
            "sure": each.sure.tolist(),
        }
        for system, each in systems.items()
    }


def read(path: Path) -> dict[str, dict[str, Outcomes]]:
    """Return what was kept of a run: system -> clinic -> its outcomes; empty where nothing was."""
    found: dict[str, dict[str, Outcomes]] = {}
    for clinic, systems in artefacts.read(path).items():
        for system, kept in systems.items():
            rules = {rule: Counts(*counts) for rule, counts in kept["rules"].items()}
            found.setdefault(system, {})[clinic] = Outcomes(kept["kinds"], rules, np.array(kept["sure"], np.int64))
    return found
