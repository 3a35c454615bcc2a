"""The bootstrap: how far a score would move if other patients had come.

Units (patients, else notes) are drawn with replacement. Every unit has a random stream of its own, derived from seed,
clinic and unit, from which it takes one Poisson(1) weight a replicate. A sum of weighted counts then does not depend on
where or in which order the units are counted: the replicates of clinics add up to those of the pooled notes, and two
systems evaluated on the same units are paired. F1 does not change when all counts double, so that a replicate's random
number of units (multinomial draws would fix it) does not matter.

Whoever knows seed, clinic and the ids of the units can solve the sums for each unit's counts: a real site gives a
secret of its own as clinic.

Source: Hanley and MacGibbon 2006, Creating non-parametric bootstrap samples using Poisson frequencies.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

SEED = 0  # of the replicates of all runs, whatever the run's own seed: so any two runs on the same notes are paired

Replicates: TypeAlias = NDArray[np.int64]  # (B, 3): tp, fp, fn


class Interval(NamedTuple):
    """The ends of a percentile interval."""

    low: float
    high: float


@lru_cache(maxsize=4096)  # every system and gold asks again for the same units
def unit_weights(unit: str, *, replicates: int, seed: int, clinic: str = "") -> NDArray[np.int64]:
    """Return how often a unit is drawn in each replicate.

    Shapes: (B,) int64, read-only.
    """
    key = hashlib.sha256(f"bootstrap\0{seed}\0{clinic}\0{unit}".encode()).digest()
    weights: NDArray[np.int64] = np.random.default_rng(int.from_bytes(key[:16], "little")).poisson(1.0, replicates)
    weights.flags.writeable = False
    return weights


def resample(
    units: Mapping[str, Mapping[str, Replicates]], *, replicates: int, seed: int, clinic: str = ""
) -> dict[str, Replicates]:
    """Return each language's replicates of summed counts, from every unit's (3,) counts by language.

    Shapes: units: unit -> language -> (3,) int64; returns language -> (B, 3) int64.
    """
    sums: dict[str, Replicates] = {}
    for unit, languages in units.items():
        weights = unit_weights(unit, replicates=replicates, seed=seed, clinic=clinic)
        for language, counts in languages.items():
            rows = sums.setdefault(language, np.zeros((replicates, 3), np.int64))
            rows += weights[:, None] * counts
    return dict(sorted(sums.items()))


def f1_interval(replicates: Replicates, level: float = 0.95) -> Interval:
    """Return the percentile interval of F1.

    Shapes: replicates (B, 3).
    """
    return percentiles(f1s(replicates), level)


def difference_interval(ours: Replicates, theirs: Replicates, level: float = 0.95) -> Interval:
    """Return the percentile interval of our F1 minus theirs, replicate by replicate.

    Shapes: both (B, 3). Raises: ValueError where the numbers of replicates differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} replicates cannot be paired: evaluate with the same number")
    return percentiles(f1s(ours) - f1s(theirs), level)


def f1_of_runs(runs: Sequence[Replicates]) -> NDArray[np.float64]:
    """Return each replicate's F1 in runs that were evaluated on the same units with the same seed.

    Shapes: R runs of (B, 3); returns (R, B).
    """
    return np.stack([f1s(rows) for rows in runs])


def f1s(replicates: Replicates) -> NDArray[np.float64]:
    """Return each replicate's F1, 0 where nothing was drawn. Shapes: replicates (B, 3); returns (B,)."""
    tp, fp, fn = replicates.T
    whole = 2 * tp + fp + fn
    found: NDArray[np.float64] = np.divide(2 * tp, whole, out=np.zeros(len(replicates)), where=whole > 0)
    return found


def percentiles(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return the percentile interval of replicates of anything. Shapes: values (B,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
