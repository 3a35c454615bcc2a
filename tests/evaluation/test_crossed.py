"""Intervals of means over runs: patients crossed with runs."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from clinfed.evaluation.bootstrap import Interval
from clinfed.evaluation.crossed import (
    LEVEL_OF_TWO_TESTS,
    difference_of_means,
    inside,
    mean_interval,
    ratio_interval,
    t_quantile,
)

# The published scores by seed (docs/results.md), and the widths of the published intervals over patients alone.
EIGHT = {"federated": [0.749, 0.712, 0.738, 0.747, 0.728], "centralised": [0.787, 0.793, 0.787, 0.790, 0.790]}
CODIESP = {"federated": [0.451, 0.445, 0.437], "centralised": [0.470, 0.468, 0.468]}
TWO = {"federated": [0.799, 0.792, 0.793, 0.792, 0.790], "centralised": [0.796, 0.793, 0.792, 0.793, 0.802]}
TWO_ALONE = [[0.705, 0.614], [0.700, 0.644], [0.704, 0.632], [0.705, 0.633], [0.708, 0.634]]


def patients(low: float, high: float, size: int = 2000) -> NDArray[np.float64]:
    """Return replicates around 0 whose 95% interval over patients is so wide. Shapes: returns (B,)."""
    normal = stats.norm.ppf((np.arange(size) + 0.5) / size)
    return np.asarray(normal / normal.std() * (high - low) / 2 / 1.96)


def paired(scores: dict[str, list[float]]) -> NDArray[np.float64]:
    return np.subtract(scores["federated"], scores["centralised"])


@pytest.mark.parametrize(
    ("scores", "over_patients", "wanted"),
    [
        (EIGHT, (-0.064, -0.044), (-0.054, -0.076, -0.033)),
        (CODIESP, (-0.033, -0.016), (-0.025, -0.037, -0.012)),
    ],
    ids=["eight clinics", "codiesp"],
)
def test_published_differences_have_the_known_intervals(
    scores: dict[str, list[float]], over_patients: tuple[float, float], wanted: tuple[float, float, float]
) -> None:
    points = paired(scores)
    replicates = points[:, None] + patients(*over_patients)
    # Over patients alone eight clinics have [-.064, -.044]: seeds and partitions move them further than patients do.
    assert (points.mean(), *mean_interval(points, replicates)) == pytest.approx(wanted, abs=0.001)


def test_two_clinics_close_the_known_share_of_the_gap() -> None:
    start = np.mean(TWO_ALONE, axis=1)
    closed, gap = np.subtract(TWO["federated"], start), np.subtract(TWO["centralised"], start)
    # Published over patients: the share of seeds 0 to 3 has [95%, 106%], and the gap .127 stands far above 0.
    drawn = gap[:, None] + np.zeros(2000)
    found = ratio_interval(closed, gap, closed[:, None] + patients(-0.055, 0.055) * gap.mean(), drawn)
    assert found is not None
    assert (closed.mean() / gap.mean(), *found) == pytest.approx((0.98, 0.91, 1.06), abs=0.006)


def test_two_clinics_are_level_with_one_place_and_eight_are_not() -> None:
    two = mean_interval(paired(TWO), paired(TWO)[:, None] + patients(-0.008, 0.004), LEVEL_OF_TWO_TESTS)
    eight = mean_interval(paired(EIGHT), paired(EIGHT)[:, None] + patients(-0.064, -0.044), LEVEL_OF_TWO_TESTS)
    assert inside(two)
    assert not inside(eight)
    assert not inside(Interval(-0.02, 0.02))  # not told apart is not level


def test_one_run_has_the_percentiles_of_its_patients() -> None:
    replicates = np.arange(101.0)[None] / 100
    assert mean_interval([0.5], replicates) == pytest.approx((0.025, 0.975))
    found = ratio_interval([0.4], [0.8], replicates, np.ones((1, 101)))
    assert found == pytest.approx((0.025, 0.975))


def test_runs_that_are_no_pairs_add_up_their_variances() -> None:
    ours, theirs = np.array([0.5, 0.7]), np.array([0.4, 0.5, 0.6])
    low, high = difference_of_means([ours, theirs], np.zeros(10))
    # .02/2 + .01/3 = .01333; Welch: .01333^2 / (.01^2/1 + .00333^2/2) = 1.684
    half = stats.t.ppf(0.975, 1.68421) * math.sqrt(0.04 / 3)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-4)


def test_fieller_has_no_share_of_a_gap_that_may_be_none() -> None:
    drawn = np.zeros((3, 10))
    assert ratio_interval([0.1, 0.2, 0.3], [0.01, 0.3, -0.2], drawn, drawn) is None
    # By hand: D = 2, N = 1, variances of the means .01/3 each, no covariance; t(2 + ...) from Satterthwaite.
    above, below = [1.1, 1.0, 0.9], [2.0, 2.1, 1.9]  # covariance -.005: (.1*0 + 0*.1 + -.1*-.1)/2 = .005
    found = ratio_interval(above, below, drawn, drawn)
    t2 = stats.t.ppf(0.975, 2) ** 2
    a, b, c = 4 - t2 * 0.01 / 3, 2 - t2 * 0.005 / 3, 1 - t2 * 0.01 / 3
    root = math.sqrt(b * b - a * c)
    assert found == pytest.approx(((b - root) / a, (b + root) / a), rel=1e-6)


@pytest.mark.parametrize("freedom", [1.0, 2.0, 8.2, 40.0, 1e4, math.inf])
@pytest.mark.parametrize("probability", [0.95, 0.975])
def test_quantiles_of_t_are_those_of_scipy(probability: float, freedom: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-5)


def test_the_interval_covers_a_mean_over_seeds_and_patients() -> None:
    # As spread as the eight clinics are: of patients .0051, of seeds .017, and .004 of each patient in each seed's run.
    rng = np.random.default_rng(0)
    trials, seeds, people, drawn = 600, 5, 72, 200
    covered = covered_by_patients = 0
    for _ in range(trials):
        patient = rng.normal(0, 0.0051 * math.sqrt(people), people)
        both = rng.normal(0, 0.004 * math.sqrt(people), (seeds, people))
        scores = patient + rng.normal(0, 0.017, (seeds, 1)) + both
        weights = rng.multinomial(people, [1 / people] * people, drawn) / people
        points, replicates = scores.mean(axis=1), scores @ weights.T
        low, high = mean_interval(points, replicates)
        covered += low <= 0 <= high
        low, high = np.quantile(replicates.mean(axis=0), [0.025, 0.975])
        covered_by_patients += low <= 0 <= high
    assert 0.93 <= covered / trials <= 0.98
    assert covered_by_patients / trials < 0.80  # what the intervals were before
