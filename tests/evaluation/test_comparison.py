"""Comparisons: paired by replicate, averaged over seeds, and silent about gaps that may not be there."""

from typing import Any

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.evaluation.comparison import System, gap_closed, surplus_statistics, surpluses
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report.pairs import surplus_lines, surplus_rows
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.spans import EvaluatedNote, count_spans

NOTES = 200


def evaluated(share: float, seed: int) -> SpanCounts:
    """Return counts of a system that finds this share of one mention a note, other notes for each seed."""
    found = np.random.default_rng(seed).random(NOTES) < share
    notes = []
    for number, hit in enumerate(found):
        gold = frozenset({Span(((0, 3),), "I10")})
        notes.append(EvaluatedNote(f"p{number}", "es", gold, gold if hit else frozenset()))
    return count_spans(notes, replicates=500, seed=0)


def system(name: str, share: float, seeds: int = 3) -> System:
    return System(name, [evaluated(share, 100 * int(100 * share) + seed) for seed in range(seeds)])


def test_the_mean_over_seeds_is_the_mean_of_their_scores() -> None:
    one = system("one", 0.6)
    assert one.f1() == pytest.approx(sum(run.micro().f1 for run in one.runs) / 3)
    low, high = one.interval()
    assert low < one.f1() < high


def test_a_run_that_lacks_a_language_has_no_part_in_that_languages_mean() -> None:
    ours = [evaluated(0.6, 1), evaluated(0.8, 2)]
    catalan = SpanCounts({("ca", "I10"): Counts(1, 1, 1)}, {"ca": ours[0].replicates["es"]})
    mixed = System("mixed", [ours[0] + catalan, ours[1]])
    assert mixed.f1("ca") == pytest.approx(0.5)
    assert mixed.interval("ca") == System("alone", [catalan]).interval("ca")
    assert mixed.f1("es") == System("both", ours).f1()
    assert mixed.languages == {"ca", "es"}


def test_a_system_minus_itself_is_nothing() -> None:
    one = system("one", 0.6)
    assert one.minus(one) == (0.0, (0.0, 0.0))


def test_a_difference_changes_its_sign_with_the_order() -> None:
    strong, weak = system("strong", 0.8), system("weak", 0.4)
    difference, (low, high) = strong.minus(weak)
    assert 0 < low < difference < high
    turned, (turned_low, turned_high) = weak.minus(strong)
    assert (turned, turned_low, turned_high) == (-difference, -high, -low)


def test_the_gap_is_closed_by_the_share_that_it_is_closed_by() -> None:
    local, centralised = [system("a", 0.3, 2), system("b", 0.3, 2), system("c", 0.3, 2)], system("c", 0.9)
    closed = gap_closed(centralised, local, centralised)
    assert closed is not None
    assert (closed[0], *closed[1]) == pytest.approx((1.0, 1.0, 1.0))
    closed = gap_closed(system("federated", 0.6), local, centralised)
    assert closed is not None
    share, (low, high) = closed
    assert 0.2 < low < share < high < 0.9


def test_the_gap_begins_at_the_mean_of_the_clinics_alone() -> None:
    def fixed(name: str, tp: int) -> System:
        rows = np.array([[tp, 10 - tp, 10 - tp]] * 4)
        return System(name, [SpanCounts({("es", "I10"): Counts(tp, 10 - tp, 10 - tp)}, {"es": rows})])

    # From (.2 + .6) / 2 = .4 to .9: .65 is half of the way.
    alone = System("seed 0", [*fixed("a", 2).runs, *fixed("b", 6).runs])
    closed = gap_closed(fixed("federated", 6), [alone], fixed("centralised", 8))
    assert closed is not None
    assert closed[0] == pytest.approx(0.5)
    assert closed[1] == pytest.approx((0.5, 0.5))


def test_a_replicate_without_a_mention_has_no_share() -> None:
    def few(name: str, tp: int) -> System:
        rows = np.array([[tp, 10 - tp, 10 - tp]] * 99 + [[0, 0, 0]])
        return System(name, [SpanCounts({("es", "I10"): Counts(tp, 10 - tp, 10 - tp)}, {"es": rows})])

    closed = gap_closed(few("federated", 6), [few("local", 4)], few("centralised", 8))
    assert closed is not None
    assert closed[1] == pytest.approx((0.5, 0.5))


def test_a_replicate_whose_gap_is_the_other_way_counts_too() -> None:
    def drawn(name: str, tp: int, other: int) -> System:
        rows = np.array([[each, 10 - each, 10 - each] for each in (*[tp] * 39, other)])
        return System(name, [SpanCounts({("es", "I10"): Counts(tp, 10 - tp, 10 - tp)}, {"es": rows})])

    # 39 replicates close .5 of .4; one, where one place is .1 behind, -1 of it.
    closed = gap_closed(drawn("f", 6, 5), [drawn("l", 4, 4)], drawn("c", 8, 3))
    assert closed is not None
    assert closed[1].low < 0.49


def test_no_share_is_stated_of_a_gap_that_may_be_none() -> None:
    for seeds in (1, 3):
        level, above = ([system("l", share, 2)] * seeds for share in (0.51, 0.9))
        assert gap_closed(system("f", 0.5, seeds), level, system("c", 0.5, seeds)) is None
        assert gap_closed(system("f", 0.5, seeds), above, system("c", 0.3, seeds)) is None  # below 0 it is none either


def test_surpluses_add_up_to_the_difference_of_true_positives() -> None:
    ours = SpanCounts({("es", "I10"): Counts(5, 0, 1), ("es", "E11"): Counts(0, 1, 4), ("ca", "J45"): Counts(2, 0, 0)})
    theirs = SpanCounts(
        {("es", "I10"): Counts(1, 0, 5), ("es", "E11"): Counts(3, 0, 1), ("ca", "J45"): Counts(2, 0, 0)}
    )
    found = surpluses(ours, theirs)
    assert [(each.code, each.surplus, each.support) for each in found] == [("I10", 4, 6), ("E11", -3, 4)]
    assert sum(each.surplus for each in found) == ours.micro().tp - theirs.micro().tp
    assert surplus_statistics(found)["surplus"] == {"max": 4.0, "min": 4.0, "mean": 4.0, "sd": 0.0}
    assert surplus_statistics([]) == {}


def test_the_lines_on_a_surplus_add_up() -> None:
    record: Any = {}
    ours = SpanCounts({("es", "I10"): Counts(5, 0, 1), ("es", "E11"): Counts(0, 1, 4)})
    theirs = SpanCounts({("es", "I10"): Counts(1, 0, 5), ("es", "E11"): Counts(3, 0, 1)})
    rows = [
        Result(name, {0: Finished(record, {("federated", "all"): {"a": counts}})})
        for name, counts in (("ours", ours), ("theirs", theirs))
    ]
    lines = surplus_lines(*rows)
    assert lines[0] == "Seed 0: ours finds 4 mentions more of 1 codes and 3 less of 1 codes than theirs: 1 in all."
    assert lines[2] == "gold mentions of these codes: max 6.00, min 6.00, mean 6.00, sd 0.00"
    # code, gold mentions, ours, theirs, surplus; the last line adds up: 5 - 4 = 1.
    assert surplus_rows(*rows) == [
        ["I10", "6", "5", "1", "4"],
        ["E11", "4", "0", "3", "-3"],
        ["all of these", "10", "5", "4", "1"],
    ]


def test_a_rows_join_with_lexicons_is_a_system_of_its_own() -> None:
    record: Any = {}
    alone, joined = SpanCounts({("es", "I10"): Counts(1, 0, 1)}), SpanCounts({("es", "I10"): Counts(2, 0, 0)})
    counts = {("federated", "all"): {"a": alone}, ("joined", "all"): {"a": joined}}
    result = Result("federated", {0: Finished(record, counts)})
    assert result.ensemble is not None
    assert (result.ensemble.name, result.ensemble.f1()) == ("federated + lexicon", 1.0)
    without = Finished(record, {("federated", "all"): {"a": alone}})
    assert Result("other", {0: without}).ensemble is None
    assert Result("some seeds", {0: result.runs[0], 1: without}).ensemble is None  # its row's mean is over both
