"""Intervals of means over runs, whose test patients and whose seeds and partitions are both draws.

All runs are evaluated on the same patients, so the two are crossed, and their variances add up: that of the mean over
patients (of its bootstrap replicates), and that of the runs' own scores divided by their number. Few runs show their
variance badly; so the interval takes a quantile of t, with Satterthwaite's degrees of freedom. Of one run nothing
shows how far another would be: its interval covers patients alone, by the percentiles of its replicates.

Source: Satterthwaite 1946, An approximate distribution of estimates of variance components; Fieller 1954, Some problems
in interval estimation (the ratio of two means).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clinfed.evaluation.bootstrap import Interval, percentiles

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]
Rows: TypeAlias = Sequence[NDArray[np.float64]] | NDArray[np.float64]

LEVEL = 0.95
MARGIN = 0.01  # F1: two systems this close are level; as much as two kinds of machine have differed in a mean
LEVEL_OF_TWO_TESTS = 0.90  # two one-sided tests at 5% hold where this interval lies inside the margin


def mean_interval(points: Numbers, replicates: Rows, level: float = LEVEL) -> Interval:
    """Return the interval of the mean of the runs' scores, or of their paired differences.

    Shapes: points (R,); replicates (R, B), the same patients drawn in each run.
    """
    return difference_of_means([np.asarray(points, float)], np.asarray(replicates, float).mean(axis=0), level)


def difference_of_means(
    parts: Sequence[NDArray[np.float64]], replicates: NDArray[np.float64], level: float = LEVEL
) -> Interval:
    """Return the interval of the first part's mean, minus the second's where there is one.

    parts: the scores of runs that are independent of those of the other part. Shapes: parts (R,) each; replicates (B,),
    of what the interval is of.
    """
    found = _spread(parts, replicates)
    if found is None:
        return percentiles(replicates, level)
    value, error, freedom = found
    half = t_quantile((1 + level) / 2, freedom) * error
    return Interval(value - half, value + half)


def p_of_difference(parts: Sequence[NDArray[np.float64]], replicates: NDArray[np.float64]) -> float:
    """Return the two-sided p of a difference of means: below 1 - level where its interval at a level is apart from 0.

    Shapes: as in difference_of_means. Of one run, no less than one replicate in all can show.
    """
    found = _spread(parts, replicates)
    if found is None:
        tail = min(float(np.mean(replicates <= 0)), float(np.mean(replicates >= 0)))
        return min(1.0, 2 * max(tail, 1 / (len(replicates) + 1)))
    value, error, freedom = found
    return _two_tails(abs(value) / error, freedom)


def _spread(parts: Sequence[NDArray[np.float64]], replicates: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Return difference, standard error and degrees of freedom; None where the runs show no variance."""
    spread = [(np.var(part, ddof=1) / len(part), len(part) - 1) for part in parts if len(part) > 1]
    of_runs = sum(variance for variance, _ in spread)
    if of_runs == 0:
        return None
    value = float(np.mean(parts[0]) - sum(np.mean(part) for part in parts[1:]))
    whole = float(np.var(replicates) + of_runs)
    freedom = float(whole**2 / sum(variance**2 / below for variance, below in spread))
    return value, math.sqrt(whole), freedom


def _two_tails(t: float, freedom: float) -> float:
    """Return the probability beyond -t and t of Student's t, from the integral of its density."""
    freedom = min(freedom, 1e6)
    angle = math.atan(t / math.sqrt(freedom))
    widest = math.pi / 2 * min(1.0, 12 / math.sqrt(freedom + 10))  # as in t_quantile
    middles = (np.arange(20_000) + 0.5) * widest / 20_000
    mass = np.cos(middles) ** (freedom - 1)
    return float(mass[middles > angle].sum() / mass.sum())


def ratio_interval(
    above: Numbers, below: Numbers, replicates_above: Rows, replicates_below: Rows, level: float = LEVEL
) -> Interval | None:
    """Return Fieller's interval of the ratio of two means over the same runs; None where the lower may be 0 or less.

    Shapes: above, below (R,); their replicates (R, B).
    """
    tops, bottoms = np.asarray(above, float), np.asarray(below, float)
    drawn = np.stack([np.asarray(each, float).mean(axis=0) for each in (replicates_above, replicates_below)])
    if len(tops) == 1 or not (np.ptp(tops) or np.ptp(bottoms)):
        return _drawn_ratio(drawn[0], drawn[1], level)
    top, bottom = float(tops.mean()), float(bottoms.mean())
    of_runs = np.cov(tops, bottoms, ddof=1) / len(tops)
    whole = np.cov(drawn, ddof=0) + of_runs
    weights = np.array([1.0, -top / bottom if bottom else 0.0])
    spread, spread_of_runs = float(weights @ whole @ weights), float(weights @ of_runs @ weights)
    freedom = spread**2 / (spread_of_runs**2 / (len(tops) - 1)) if spread_of_runs > 0 else math.inf
    squared = t_quantile((1 + level) / 2, freedom) ** 2
    # The ratios r for which top - r bottom is not told apart from 0: a r^2 - 2 b r + c <= 0.
    a = bottom**2 - squared * whole[1, 1]
    if bottom <= 0 or a <= 0:
        return None
    b, c = top * bottom - squared * whole[0, 1], top**2 - squared * whole[0, 0]
    root = math.sqrt(max(0.0, b**2 - a * c))
    return Interval(float((b - root) / a), float((b + root) / a))


def _drawn_ratio(top: NDArray[np.float64], bottom: NDArray[np.float64], level: float) -> Interval | None:
    """Return the percentiles of one run's ratio, None unless the lower one's own interval lies above 0."""
    if percentiles(bottom, level).low <= 0:
        return None
    stated = bottom != 0  # of few patients a replicate may have none with a mention
    return percentiles(top[stated] / bottom[stated], level)


def inside(interval: Interval, margin: float = MARGIN) -> bool:
    """Return whether an interval lies inside the margin around 0."""
    return -margin < interval.low and interval.high < margin


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t, for a probability above a half and any degrees of freedom.

    From the integral of its density, to six digits: scipy is no dependency.
    """
    # With t = sqrt(f) tan(a), the density of a is proportional to cos(a)^(f - 1) on (-pi/2, pi/2).
    if freedom > 1e6:
        freedom = 1e6  # the normal distribution, to six digits
    steps = 20_000
    angle = math.pi / 2 * min(1.0, 12 / math.sqrt(freedom + 10))  # beyond it nothing is left
    middles = (np.arange(steps) + 0.5) * angle / steps
    mass = np.concatenate([[0.0], np.cumsum(np.cos(middles) ** (freedom - 1))])
    wanted = (probability - 0.5) * 2
    place = float(np.interp(wanted, mass / mass[-1], np.linspace(0, angle, steps + 1)))
    return math.sqrt(freedom) * math.tan(place)
