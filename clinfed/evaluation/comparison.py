"""Comparing systems over seeds: means, intervals, paired differences, the share of a gap, surpluses by code.

A system's F1 is the mean over its seeds, each from its own merged counts. Its interval covers the choice of patients
and that of seeds and partitions (crossed.py); of one seed it covers patients alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clinfed.evaluation.bootstrap import Interval, f1_of_runs
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.crossed import (
    LEVEL,
    LEVEL_OF_TWO_TESTS,
    difference_of_means,
    inside,
    mean_interval,
    p_of_difference,
    ratio_interval,
)
from clinfed.evaluation.merging import merged
from clinfed.evaluation.unit_counts import Group, GroupIntervals, UnitCounts, groups

UNDEFINED = Interval(float("nan"), float("nan"))


@dataclass(frozen=True)
class System:
    """One system's merged counts on the same notes, an evaluation for each seed; clinics: the same by clinic.

    units: each seed's counts by clinic and unit, or none at all: only of invented and public notes are any kept.
    """

    name: str
    runs: Sequence[SpanCounts]
    clinics: Sequence[Mapping[str, SpanCounts]] = ()
    units: Sequence[Mapping[str, UnitCounts]] = ()

    @classmethod
    def of_clinics(
        cls, name: str, clinics: Sequence[Mapping[str, SpanCounts]], units: Sequence[Mapping[str, UnitCounts]] = ()
    ) -> "System":
        """Return the system that each seed's clinics have evaluated; with units where all of them have kept some."""
        whole = len(units) == len(clinics) and all(u.keys() >= c.keys() for u, c in zip(units, clinics, strict=True))
        return cls(name, [merged(each) for each in clinics], clinics, units if whole else ())

    def f1(self, language: str | None = None) -> float:
        """Return the mean micro-F1 over the seeds in which it is defined; not a number where there is none."""
        scores = self.by_seed(language)
        return sum(scores) / len(scores) if scores else float("nan")

    def by_seed(self, language: str | None = None) -> list[float]:
        """Return the micro-F1 of each seed, but of those in which it is undefined; a clinic may be left out."""
        return [run.micro(language).f1 for run in self.having(language)]

    @property
    def languages(self) -> set[str]:
        """Return the languages that any run has."""
        return {language for run in self.runs for language in run.languages}

    def interval(self, language: str | None = None) -> Interval:
        """Return the 95% interval of the mean over seeds; not a number where too few patients are drawn from."""
        if not any(run.is_drawn(language) for run in self.having(language)):
            return UNDEFINED
        low, high = mean_interval(self.by_seed(language), self.f1_replicates(language))
        return Interval(max(0.0, low), min(1.0, high))

    def group_intervals(self, group: str) -> GroupIntervals:
        """Return the 95% intervals of a group of codes, named as in unit_counts.groups: of micro- and of macro-F1."""
        return self._group_intervals.get(group, GroupIntervals())

    @cached_property
    def _group_intervals(self) -> Mapping[str, GroupIntervals]:
        found: defaultdict[str, list[Group]] = defaultdict(list)
        for whole, clinics, units in zip(self.runs, self.clinics, self.units, strict=False):
            for name, group in groups((units[name] for name in clinics), whole).items():
                found[name].append(group)
        return {name: GroupIntervals.of_mean(runs) for name, runs in found.items()}

    def minus(self, other: "System", level: float = LEVEL) -> tuple[float, Interval]:
        """Return this F1 minus the other's with its interval; both evaluated on the same notes.

        Paired by patient and, where both have as many runs, by seed: their runs are in the same order.
        Not a number where one of them is undefined.
        """
        if not (self.having(None) and other.having(None)):
            return float("nan"), UNDEFINED
        if not any(run.is_drawn() for run in (*self.having(None), *other.having(None))):
            return self.f1() - other.f1(), UNDEFINED
        return self.f1() - other.f1(), difference_of_means(*self._against(other), level)

    def p_of_difference(self, other: "System") -> float:
        """Return the two-sided p of the same difference; not a number where that has no interval."""
        runs = [*self.having(None), *other.having(None)]
        defined = self.having(None) and other.having(None) and any(run.is_drawn() for run in runs)
        return p_of_difference(*self._against(other)) if defined else float("nan")

    def _against(self, other: "System") -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Return the scores of independent runs, paired where they can be, and the replicates of the difference."""
        ours, theirs = np.array(self.by_seed()), np.array(other.by_seed())
        drawn = self.f1_replicates().mean(axis=0) - other.f1_replicates().mean(axis=0)
        return [ours - theirs] if len(ours) == len(theirs) == len(self.runs) else [ours, theirs], drawn

    def is_level_with(self, other: "System") -> bool:
        """Return whether two one-sided tests at 5% hold both systems to be within the margin of each other.

        Of one seed nothing is claimed: its interval covers patients alone.
        """
        several = min(len(self.having(None)), len(other.having(None))) > 1
        return several and inside(self.minus(other, LEVEL_OF_TWO_TESTS)[1])

    def f1_replicates(self, language: str | None = None) -> NDArray[np.float64]:
        """Return the F1 of each seed in each bootstrap replicate. Shapes: returns (R, B)."""
        return self._replicates if language is None else self._f1_of_runs(language)

    @cached_property
    def _replicates(self) -> NDArray[np.float64]:
        return self._f1_of_runs(None)  # kept: a report of many systems pairs each with all others

    def _f1_of_runs(self, language: str | None) -> NDArray[np.float64]:
        return f1_of_runs([run.summed(language) for run in self.having(language)])

    def having(self, language: str | None) -> list[SpanCounts]:
        """Return the runs in which F1 is defined: with any mention, gold or predicted, of a language or of all."""
        return [run for run in self.runs if run.micro(language).defined]


def gap_closed(federated: System, local: Sequence[System], centralised: System) -> tuple[float, Interval] | None:
    """Return which share of the gap from mean local-only to centralised training the federation closes.

    local: a system for each seed, whose runs are that seed's clinics alone; the gap begins at their mean. The share is
    a ratio of two means over the seeds, with Fieller's interval. None where an F1 is undefined, and unless the gap's
    own 95% interval lies above 0: a share of nothing says nothing.
    """
    if not all(len(system.having(None)) == len(system.runs) > 0 for system in (federated, *local, centralised)):
        return None
    start = np.array([system.f1() for system in local])
    drawn = np.stack([system.f1_replicates().mean(axis=0) for system in local])
    closed, gap = np.array(federated.by_seed()) - start, np.array(centralised.by_seed()) - start
    interval = ratio_interval(closed, gap, federated.f1_replicates() - drawn, centralised.f1_replicates() - drawn)
    return None if interval is None else (float(closed.mean() / gap.mean()), interval)


@dataclass(frozen=True)
class Surplus:
    """A code whose gold mentions one system found more often than the other."""

    code: str
    surplus: int  # true positives of ours minus theirs
    support: int  # gold mentions in the evaluated split


def surpluses(ours: SpanCounts, theirs: SpanCounts) -> list[Surplus]:
    """Return the codes whose true positives differ, the largest surplus first; they add up to the difference in all."""
    mine, other = ours.codes(), theirs.codes()
    found = []
    for code in sorted(mine.keys() | other.keys()):
        difference = (mine[code].tp if code in mine else 0) - (other[code].tp if code in other else 0)
        if difference:
            found.append(Surplus(code, difference, (mine if code in mine else other)[code].support))
    return sorted(found, key=lambda each: (-each.surplus, each.code))


def surplus_statistics(found: Sequence[Surplus]) -> dict[str, dict[str, float]]:
    """Return max, min, mean and standard deviation of the positive surpluses and of those codes' frequencies."""
    gained = [each for each in found if each.surplus > 0]
    columns = {"surplus": [each.surplus for each in gained], "support": [each.support for each in gained]}
    return {name: dict(_statistics(values)) for name, values in columns.items()} if gained else {}


def _statistics(values: Sequence[int]) -> Iterator[tuple[str, float]]:
    yield "max", float(max(values))
    yield "min", float(min(values))
    yield "mean", float(np.mean(values))
    yield "sd", float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
