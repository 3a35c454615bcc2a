"""Kinds of mistakes, looser rules, calibration and precision at coverage, from counts that add up."""

from pathlib import Path

import numpy as np
import pytest

from clinfed.corpus.note import Note, Span
from clinfed.evaluation import artefacts, outcomes
from clinfed.evaluation.counts import Counts
from clinfed.evaluation.outcomes import BINS, Outcomes, count_outcomes, merged


def span(code: str, start: int, end: int) -> Span:
    return Span(((start, end),), code)


TEXT = "x" * 60
NOTE = Note("n1", TEXT, (span("I10", 0, 4), span("E11.9", 10, 14), span("J45", 20, 24), span("M17", 30, 34)))
FOUND = {
    "n1": {
        span("I10", 0, 4): 0.95,  # exact
        span("E11.6", 10, 14): 0.85,  # another code of the category
        span("J45", 20, 22): 0.55,  # shorter
        span("K29", 40, 44): 0.15,  # spurious
    }
}


def test_each_mistake_has_a_kind_and_each_rule_forgives_what_it_says() -> None:
    found = count_outcomes([NOTE], FOUND)
    assert found.kinds == {"exact": 1, "wrong code": 1, "wrong boundary": 1, "spurious": 1, "missed": 1}
    assert found.rules == {
        "strict": Counts(1, 3, 3),
        "overlap": Counts(2, 2, 2),  # J45 too
        "span only": Counts(2, 2, 2),  # E11.6 too
        "three characters": Counts(2, 2, 2),  # E11.6 too, but not J45
    }


def test_three_characters_do_not_forgive_another_category() -> None:
    note = Note("n1", TEXT, (span("I10", 0, 4),))
    found = count_outcomes([note], {"n1": [span("I11", 0, 4)]})
    assert (found.rules["span only"], found.rules["three characters"]) == (Counts(1, 0, 0), Counts(0, 1, 1))


def test_a_prediction_overlaps_one_gold_mention_only() -> None:
    note = Note("n1", TEXT, (span("I10", 0, 4), span("I10", 6, 10)))
    assert count_outcomes([note], {"n1": [span("I10", 0, 10)]}).rules["overlap"] == Counts(1, 0, 1)


def sure(*bins: tuple[float, int, int]) -> Outcomes:
    """Return outcomes of spans by confidence: (confidence, wrong, right)."""
    table = np.zeros((BINS, 2), np.int64)
    for confidence, *counts in bins:
        table[int(confidence * BINS)] = counts
    return Outcomes(sure=table)


def test_the_calibration_error_weights_each_bin_by_its_spans() -> None:
    # .955 sure and .75 right (4 spans), .155 sure and all right (1): (4 * .205 + 1 * .845) / 5. Unweighted: .525.
    found = sure((0.95, 1, 3), (0.15, 0, 1))
    assert found.calibration_error() == pytest.approx((4 * 0.205 + 0.845) / 5)
    assert [(row.low, row.spans, row.precision) for row in found.reliability()] == [(0.1, 1, 1.0), (0.9, 4, 0.75)]
    assert Outcomes().calibration_error() is None


def test_a_bin_s_confidence_is_the_mean_over_its_spans_and_not_its_middle() -> None:
    [row] = sure((0.91, 0, 3), (0.99, 0, 1)).reliability()
    assert row.confidence == pytest.approx((3 * 0.915 + 0.995) / 4)


def test_precision_at_coverage_keeps_the_surest_spans() -> None:
    found = sure((0.9, 0, 2), (0.5, 2, 0))
    half, rest, all_ = found.at_coverage([0.5, 0.6, 1.0])
    assert (half.coverage, half.precision, half.least) == (0.5, 1.0, 0.9)
    assert (rest.coverage, rest.precision) == (1.0, 0.5)  # spans of one bin are kept together
    assert all_ == rest
    assert Outcomes().at_coverage([0.5]) == []


def test_a_confidence_of_one_has_a_bin_and_a_prediction_without_confidence_has_none() -> None:
    assert count_outcomes([NOTE], {"n1": {span("I10", 0, 4): 1.0}}).sure[-1].tolist() == [0, 1]
    assert count_outcomes([NOTE], {"n1": [span("I10", 0, 4)]}).predicted == 0


def test_clinics_outcomes_add_up_to_the_pooled_and_are_read_as_they_were_kept(tmp_path: Path) -> None:
    other = Note("n2", TEXT, (span("I10", 0, 4),))
    found = FOUND | {"n2": {span("I10", 0, 4): 0.4}}
    parts = {"north": count_outcomes([NOTE], found), "south": count_outcomes([other], found)}
    pooled, both = count_outcomes([NOTE, other], found), merged(parts)
    assert (dict(both.kinds), dict(both.rules)) == (dict(pooled.kinds), dict(pooled.rules))
    assert both.sure.tolist() == pooled.sure.tolist()
    artefacts.keep(tmp_path / "kept", {name: outcomes.to_json({"adapter": each}) for name, each in parts.items()})
    again = outcomes.read(tmp_path / "kept")["adapter"]
    assert merged(again).sure.tolist() == pooled.sure.tolist()
    assert (again["north"].kinds, again["north"].rules) == (parts["north"].kinds, parts["north"].rules)
