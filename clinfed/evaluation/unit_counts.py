"""Counts by unit and code, from which the intervals of macro-F1 and of groups of codes are drawn.

Replicates by code would be the counts of a rare code's few patients. So no site sends any, and its scores by code have
no interval; of invented and public notes the counts of each unit are kept beside the run's record (kept.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clinfed.evaluation import kept
from clinfed.evaluation.bootstrap import SEED, Interval, Replicates, f1s, percentiles, unit_weights
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.spans import JudgedNote

Key: TypeAlias = tuple[str, str]  # language of the note, code
UnitCounts: TypeAlias = Mapping[str, Mapping[Key, Counts]]  # one clinic's, by unit
ALL = "all"  # notes


@dataclass(frozen=True)
class GroupReplicates:
    """Micro- and macro-F1 of a group of codes in each replicate. Shapes: (B,) both."""

    micro: NDArray[np.float64]
    macro: NDArray[np.float64]


@dataclass(frozen=True)
class GroupIntervals:
    """The 95% intervals of a group's means over runs; None where no unit's counts were kept."""

    micro: Interval | None = None
    macro: Interval | None = None

    @classmethod
    def of_mean(cls, runs: Sequence[GroupReplicates]) -> "GroupIntervals":
        """Return those of the mean over runs that were judged on the same units."""
        return cls(*(percentiles(np.mean([getattr(run, of) for run in runs], axis=0)) for of in ("micro", "macro")))


def count_units(notes: Iterable[JudgedNote]) -> UnitCounts:
    """Return the strict counts of each unit; together they are those of count_spans."""
    units: defaultdict[str, defaultdict[Key, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for note in notes:
        for span in note.gold | note.predicted:
            right, found = span in note.gold and span in note.predicted, span in note.predicted
            units[note.unit][note.language, span.code] += Counts(right, found and not right, not found)
    return units


def total(units: UnitCounts) -> dict[Key, Counts]:
    """Return the counts of all units by language and code, as SpanCounts.by_code holds them."""
    summed: defaultdict[Key, Counts] = defaultdict(Counts)
    for cells in units.values():
        for key, counts in cells.items():
            summed[key] += counts
    return dict(summed)


def groups(
    clinics: Iterable[UnitCounts], whole: SpanCounts, *, replicates: int = 1000, seed: int = SEED
) -> dict[str, GroupReplicates]:
    """Return the replicates of all codes, of each language's and of each frequency band's ("codes 1-4") that has any.

    clinics: the tables that add up to `whole`, whose support decides a code's band in every replicate. Macro-F1 is over
    the codes of gold or prediction; a replicate that draws no patient with a code is without that code.
    """
    by_key: defaultdict[Key, Replicates] = defaultdict(lambda: np.zeros((replicates, 3), np.int64))
    for units in clinics:
        for unit, cells in units.items():
            weights = unit_weights(unit, replicates=replicates, seed=seed)[:, None]
            for key, counts in cells.items():
                by_key[key] += weights * (counts.tp, counts.fp, counts.fn)
    by_code: dict[str, Replicates] = {}
    for (_, code), rows in by_key.items():
        by_code[code] = by_code[code] + rows if code in by_code else rows
    found = {ALL: list(by_code.values())}
    for language in sorted({language for language, _ in by_key}):
        found[language] = [rows for (of, _), rows in by_key.items() if of == language]
    for band, codes in whole.codes_by_band().items():
        found[f"codes {band}"] = [by_code[code] for code in codes]
    return {group: _scores(codes) for group, codes in found.items() if codes}


def _scores(codes: Sequence[Replicates]) -> GroupReplicates:
    """Return a group's scores. Shapes: codes: (B, 3) each."""
    drawn = np.sum([rows.any(axis=1) for rows in codes], axis=0)
    total = np.sum([f1s(rows) for rows in codes], axis=0)
    macro = np.divide(total, drawn, out=np.zeros(len(total)), where=drawn > 0)
    return GroupReplicates(f1s(np.sum(codes, axis=0)), macro)


def to_json(systems: Mapping[str, UnitCounts]) -> dict[str, Any]:
    """Return one clinic's tables as they are kept: system -> unit -> [language, code, tp, fp, fn], ..."""
    return {
        system: {
            unit: [[*key, counts.tp, counts.fp, counts.fn] for key, counts in sorted(cells.items())]
            for unit, cells in units.items()
        }
        for system, units in systems.items()
    }


def read(path: Path) -> dict[str, dict[str, UnitCounts]]:
    """Return what was kept of a run: system -> clinic -> its table; empty where nothing was."""
    found: defaultdict[str, dict[str, UnitCounts]] = defaultdict(dict)
    for clinic, systems in kept.read(path).items():
        for system, units in systems.items():
            found[system][clinic] = {
                unit: {(language, code): Counts(*counts) for language, code, *counts in cells}
                for unit, cells in units.items()
            }
    return dict(found)
