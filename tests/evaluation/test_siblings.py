"""Evaluated notes with and without a sibling in training."""

from pathlib import Path

from clinfed.evaluation import artefacts
from clinfed.evaluation.counts import Counts
from clinfed.evaluation.report.siblings import sibling_lines
from clinfed.evaluation.siblings import merged, read, siblings

UNITS = {"a": {("es", "A00"): Counts(3, 1, 0)}, "b": {("es", "A00"): Counts(1, 0, 2), ("es", "I10"): Counts(0, 1, 0)}}


def test_scores_of_units_with_and_without_a_sibling_stand_apart() -> None:
    [north, south] = (siblings({"adapter": UNITS}, trained) for trained in ({"a", "z"}, {"b"}))
    assert north == {"adapter": {"with": [1, 3, 1, 0], "without": [1, 1, 1, 2]}}
    both = merged([north, south])["adapter"]
    # with: tp 3+1, fp 1+1, fn 0+2; F1 = 8 / (8 + 2 + 2); the mean of the two F1 would be .614
    assert both["with"] == {"units": 2, "tp": 4, "fp": 2, "fn": 2, "f1": 8 / 12}


def test_nothing_is_kept_where_no_unit_has_a_sibling(tmp_path: Path) -> None:
    assert siblings({"adapter": UNITS}, {"z"}) == {}
    assert read(tmp_path) == {}


def test_a_run_says_both_scores(tmp_path: Path) -> None:
    artefacts.keep(tmp_path / artefacts.SIBLINGS, {"north": siblings({"adapter": UNITS}, {"a"})})
    line = "adapter: F1 .857 on the 1 articles with a case in training, .400 on the 1 without"
    assert sibling_lines(read(tmp_path)) == [line]  # 6/7 and 2/5
