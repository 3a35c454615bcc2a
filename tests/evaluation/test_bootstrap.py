"""Intervals resample units, pair systems, and cover what they promise."""

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.evaluation.bootstrap import difference_interval, f1_interval, resample, unit_weights
from clinfed.evaluation.spans import EvaluatedNote, count_spans


def notes(right: list[int], *, units: list[str] | None = None, each: int = 10) -> list[EvaluatedNote]:
    """Return notes with some gold mentions each, of which the first `right[i]` are predicted, and nothing else."""
    spans = [Span(((i, i + 1),), "R05") for i in range(each)]
    names = units or [str(i) for i in range(len(right))]
    return [
        EvaluatedNote(unit, "es", frozenset(spans), frozenset(spans[:number]))
        for unit, number in zip(names, right, strict=True)
    ]


def test_a_replicate_is_the_weighted_sum_of_the_units() -> None:
    one, two = (unit_weights(unit, replicates=5, seed=3) for unit in "ab")
    replicates = resample({"a": {"es": np.array([1, 0, 2])}, "b": {"es": np.array([0, 4, 0])}}, replicates=5, seed=3)
    assert replicates["es"].tolist() == [[a, 4 * b, 2 * a] for a, b in zip(one, two, strict=True)]


def test_weights_have_the_mean_and_variance_of_a_poisson() -> None:
    weights = unit_weights("a", replicates=100_000, seed=0)
    assert weights.mean() == pytest.approx(1.0, abs=0.02)  # standard error 0.003
    assert weights.var() == pytest.approx(1.0, abs=0.03)


def test_streams_differ_by_seed_clinic_and_unit() -> None:
    streams = [
        unit_weights(unit, replicates=30, seed=seed, clinic=clinic).tolist()
        for unit, seed, clinic in [("a", 0, ""), ("b", 0, ""), ("a", 1, ""), ("a", 0, "north")]
    ]
    assert len({tuple(stream) for stream in streams}) == 4
    assert unit_weights("a", replicates=30, seed=0).tolist() == streams[0]


def test_the_interval_is_the_percentiles_of_f1() -> None:
    # tp 0..100 of 100 with no false positive: F1 = 2 tp / (tp + 100); the 2.5th percentile lies between tp 2 and 3
    replicates = np.array([[tp, 0, 100 - tp] for tp in range(101)])
    low, high = f1_interval(replicates, level=0.95)
    assert low == pytest.approx((2 * 2 / 102 + 2 * 3 / 103) / 2)
    assert high == pytest.approx((2 * 97 / 197 + 2 * 98 / 198) / 2)


def test_notes_of_one_patient_are_resampled_together() -> None:
    right = [0, 10] * 20
    apart = count_spans(notes(right))
    together = count_spans(notes(right, units=[str(i // 10) for i in range(40)]))  # 4 units, each half right
    assert np.ptp(together.interval()) < 0.01 < np.ptp(apart.interval())


def test_two_systems_on_the_same_units_are_paired() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 10, 50).tolist()
    worse, better = count_spans(notes(right)), count_spans(notes([number + 1 for number in right]))
    low, high = better.paired_difference(worse)
    assert 0.0 < low <= high < 0.2  # one more of ten in every note: F1 rises by about 0.08 in every replicate
    unpaired_low, _ = better.paired_difference(count_spans(notes(right), seed=1))
    assert unpaired_low < 0.0  # the spread between notes would hide it


def test_pairing_needs_equal_numbers_of_replicates() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        difference_interval(np.zeros((3, 3), np.int64), np.zeros((4, 3), np.int64))
    with pytest.raises(ValueError, match="replicates > 0"):
        count_spans(notes([1]), replicates=0).interval()


def test_intervals_of_languages_and_of_all() -> None:
    spanish = count_spans(notes([9, 10, 8, 9]))
    catalan = [EvaluatedNote(each.unit, "ca", each.gold, frozenset()) for each in notes([0, 0, 0, 0])]
    both = spanish + count_spans(catalan)
    assert both.interval(language="es") == spanish.interval()
    assert both.interval(language="ca") == (0.0, 0.0)
    assert both.interval().high < spanish.interval().low


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    truth, covered, trials = 2 * 0.6 / 1.6, 0, 200  # recall 0.6, precision 1
    for trial in range(trials):
        low, high = count_spans(notes(rng.binomial(10, 0.6, 40).tolist()), replicates=300, seed=trial).interval()
        covered += low <= truth <= high
    assert 0.88 <= covered / trials <= 0.99  # 95% promised; standard error 1.5 points
