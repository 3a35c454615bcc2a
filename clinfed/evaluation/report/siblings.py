"""Test notes with and without a sibling in training, as lines of a terminal and rows of a report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clinfed.evaluation.hits import ADAPTER
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import SYSTEMS, fraction
from clinfed.evaluation.siblings import WITH, WITHOUT

SIBLINGS_HEAD = ("row", "seed", "system", "units with", "F1 with", "units without", "F1 without")
SIBLINGS_TITLE = "Evaluated notes with and without a sibling in training (an article of several cases)"


def sibling_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row for each system of each run whose evaluated notes have siblings in training."""
    return [
        [result.name, str(seed), *cells]
        for result in results
        for seed, run in sorted(result.runs.items())
        for cells in _cells(run.siblings)
    ]


def sibling_lines(parted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what a run prints of them, nothing where no evaluated note has a sibling in training."""
    return [
        f"{name}: F1 {f1_with} on the {units} articles with a case in training, {f1_without} on the {others} without"
        for name, units, f1_with, others, f1_without in _cells(parted)
    ]


def _cells(parted: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield a system's name, and units and F1 of both parts."""
    for system in sorted(parted, key=lambda name: (name != ADAPTER, name)):
        parts = [parted[system][part] for part in (WITH, WITHOUT)]
        name = "adapter" if system == ADAPTER else SYSTEMS.get(system, system)
        yield [name, *(cell for part in parts for cell in (str(part["units"]), fraction(part["f1"])))]
