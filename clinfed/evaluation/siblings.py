"""Test notes with and without a sibling in training: a unit (such as an article) that an official split has parted.

A sibling's words help most with what repeats them. So the scores of both kinds of notes stand apart.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from clinfed.evaluation import artefacts
from clinfed.evaluation.counts import Counts
from clinfed.evaluation.unit_counts import UnitCounts

WITH, WITHOUT = "with", "without"


def siblings(systems: Mapping[str, UnitCounts], trained: Collection[str]) -> dict[str, dict[str, list[int]]]:
    """Return system -> "with" or "without" a sibling -> units, tp, fp, fn; empty where no unit has one.

    systems: counts of the evaluated notes by system and unit. trained: the units of training notes.
    """
    if not any(unit in trained for units in systems.values() for unit in units):
        return {}
    found: dict[str, dict[str, list[int]]] = {}
    for system, units in systems.items():
        parts = {WITH: [0, 0, 0, 0], WITHOUT: [0, 0, 0, 0]}
        for unit, cells in units.items():
            counts = sum(cells.values(), Counts())
            part = WITH if unit in trained else WITHOUT
            parts[part] = _added(parts[part], [1, counts.tp, counts.fp, counts.fn])
        found[system] = parts
    return found


def merged(clinics: Iterable[Mapping[str, Mapping[str, list[int]]]]) -> dict[str, dict[str, Any]]:
    """Return system -> "with" or "without" -> units, true and false positives, misses and F1 over all clinics."""
    whole: dict[str, dict[str, list[int]]] = {}
    for clinic in clinics:
        for system, parts in clinic.items():
            sums = whole.setdefault(system, {WITH: [0, 0, 0, 0], WITHOUT: [0, 0, 0, 0]})
            for part, row in parts.items():
                sums[part] = _added(sums[part], row)
    return {system: {part: _scored(row) for part, row in parts.items()} for system, parts in whole.items()}


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what a run's folder holds of them, merged; empty where no test unit has a sibling in training."""
    return merged(artefacts.read(folder / artefacts.SIBLINGS).values())


def _added(left: list[int], right: list[int]) -> list[int]:
    return [one + other for one, other in zip(left, right, strict=True)]


def _scored(row: list[int]) -> dict[str, Any]:
    units, tp, fp, fn = row
    counts = Counts(tp, fp, fn)
    return {"units": units, "tp": tp, "fp": fp, "fn": fn, "f1": counts.f1 if tp + fp + fn else None}
