"""Tests of many pairs, mentions that come in patients, and the p of a difference over seeds."""

import numpy as np
import pytest

from clinfed.evaluation.counts import Counts
from clinfed.evaluation.crossed import difference_of_means, p_of_difference
from clinfed.evaluation.multiplicity import clustered_p, holm
from clinfed.evaluation.unit_counts import UnitCounts


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    # Sorted: .01 * 3, .02 * 2, .03 * 1, of which the last must not lie below the one before. Bonferroni: .09, .03, .06.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def units(*found: int, gold: int = 10) -> UnitCounts:
    """Return patients with so many of their gold mentions found."""
    return {f"p{place}": {("ca", "J00"): Counts(tp, 0, gold - tp)} for place, tp in enumerate(found)}


def test_mentions_of_one_patient_count_as_one_piece_of_evidence() -> None:
    # Ours find 9 mentions more, all of one patient: z = 9 / sqrt(81) = 1. As independent mentions, z would be 3.
    assert clustered_p({"a": units(9, 5)}, {"a": units(0, 5)}) == pytest.approx(0.3173, abs=1e-4)
    # One more of each of nine patients: z = 9 / sqrt(9) = 3.
    assert clustered_p({"a": units(*[6] * 9)}, {"a": units(*[5] * 9)}) == pytest.approx(0.0027, abs=1e-4)


def test_differences_of_patients_cancel_and_clinics_are_apart() -> None:
    assert clustered_p({"a": units(6), "b": units(4)}, {"a": units(4), "b": units(6)}) == 1.0
    assert clustered_p({"a": units(5)}, {"a": units(5)}) == 1.0


def test_nothing_is_said_of_other_notes_or_of_none() -> None:
    assert clustered_p({"a": units(5, gold=10)}, {"a": units(5, gold=9)}) is None
    assert clustered_p({}, {}) is None


def test_p_is_below_five_percent_where_the_interval_is_apart_from_0() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.004, 0.02, 0.03, 0.05):
        parts, drawn = [shift + np.array([-0.02, 0.0, 0.02])], rng.normal(shift, 0.004, 1000)
        low, high = difference_of_means(parts, drawn)
        assert (p_of_difference(parts, drawn) < 0.05) == (low > 0 or high < 0)


def test_p_over_seeds_is_student_s() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with seqeval, a dependency of the tests")
    scores = np.array([0.01, 0.03, 0.02, 0.05])
    drawn = np.full(100, 0.02)  # patients add nothing, so that it is the test of one sample
    assert p_of_difference([scores], drawn) == pytest.approx(stats.ttest_1samp(scores, 0).pvalue, rel=1e-3)


def test_p_of_one_run_is_twice_the_smaller_tail_of_its_replicates() -> None:
    drawn = np.array([-0.1] * 3 + [0.1] * 97)
    assert p_of_difference([np.array([0.1])], drawn) == pytest.approx(0.06)
    assert p_of_difference([np.array([0.1])], np.full(99, 0.1)) == pytest.approx(0.02)  # not 0: 99 draws show no more
