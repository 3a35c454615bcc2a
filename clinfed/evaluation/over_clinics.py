"""How far a mean over clinics would move if other clinics had come."""

from collections.abc import Sequence

import numpy as np

from clinfed.evaluation.bootstrap import SEED, Interval, percentiles

FEWEST_CLINICS = 5  # four clinics can be drawn in 35 ways: the ends of an interval would be single draws
REPLICATES = 10_000


def over_clinics(values: Sequence[float]) -> Interval | None:
    """Return the 95% bootstrap interval of the mean of a value a clinic; None of fewer than FEWEST_CLINICS."""
    if len(values) < FEWEST_CLINICS:
        return None
    drawn = np.random.default_rng(SEED).integers(len(values), size=(REPLICATES, len(values)))
    return percentiles(np.asarray(values, float)[drawn].mean(axis=1))
