"""A score of neither gold nor prediction is undefined: null in JSON, "-" in tables, no part of a mean or choice."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.evaluation import merging, scores
from clinfed.evaluation.comparison import System, gap_closed
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report.system_scores import worst_clinic
from clinfed.evaluation.report.tables import Table, bracketed, fraction, mean, scores_table, seeds_range
from clinfed.evaluation.spans import EvaluatedNote, count_spans
from clinfed.protocol import Answer
from clinfed.runs import migrations, record, tracking
from server.rounds import validation_score

A, B = Span(((0, 3),), "R05"), Span(((4, 9),), "J45.9")
NAN = float("nan")


def counted(*notes: tuple[str, set[Span], set[Span]]) -> SpanCounts:
    """Return counts of notes, each with language, gold and prediction, of a patient of its own."""
    evaluated = [EvaluatedNote(f"p{number}", of, frozenset(g), frozenset(p)) for number, (of, g, p) in enumerate(notes)]
    return count_spans(evaluated, replicates=20)


NOTHING = counted(("ca", set(), set()))
RIGHT = counted(("es", {A}, {A}), ("ca", set(), set()))
WRONG = counted(("es", set(), {A}))


def test_a_ratio_is_undefined_without_gold_and_prediction_only() -> None:
    assert scores.score(Counts()) == {"tp": 0, "fp": 0, "fn": 0, "precision": None, "recall": None, "f1": None}
    assert scores.score(Counts(fp=2)) == {"tp": 0, "fp": 2, "fn": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert scores.score(Counts(fn=2)) == {"tp": 0, "fp": 0, "fn": 2, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_a_evaluation_of_nothing_has_no_score_and_no_interval() -> None:
    found = merging.evaluation({"north": NOTHING})
    assert found["micro"]["f1"] is None
    assert found["macro"] == {"gold_or_predicted": None, "gold": None}
    assert found["interval"] is None
    assert found["by_language"]["ca"]["interval"] is None
    assert found["by_clinic"]["north"]["f1"] is None
    json.dumps(found, allow_nan=False)


def test_macro_over_gold_is_undefined_where_all_codes_are_predicted_only() -> None:
    assert merging.evaluation({"": WRONG})["macro"] == {"gold_or_predicted": 0.0, "gold": None}


def test_a_difference_with_something_undefined_is_left_out() -> None:
    assert merging.difference(NOTHING, WRONG) is None
    systems = {"federated": {"n": NOTHING}, "joined": {"n": WRONG}, "pooled_lexicon": {"n": NOTHING}}
    assert merging.paired_differences(systems, "federated") == {}


def old(counts: SpanCounts) -> Any:
    """Return an evaluation as older versions wrote it: zeros for what is undefined."""
    found = json.loads(json.dumps(merging.evaluation({"north": counts})).replace("null", "0.0"))
    for where in (found, *found["by_language"].values()):
        where["interval"] = where["interval"] or [0.0, 0.0]
    return found


@pytest.mark.parametrize("counts", [NOTHING, RIGHT, WRONG, RIGHT.folded([]), NOTHING.folded([])])
def test_an_old_evaluation_reads_as_a_new_one(counts: SpanCounts) -> None:
    assert migrations.completed(old(counts)) == merging.evaluation({"north": counts})


def test_an_old_record_loads_without_its_undefined_differences(tmp_path: Path) -> None:
    test = {"federated": {"all": old(NOTHING)}, "joined": {"all": old(NOTHING)}}
    content = {"schema": record.SCHEMA, "test": test, "differences": {"joined": {"f1": 0.0, "interval": [0.0, 0.0]}}}
    (tmp_path / "record.json").write_text(json.dumps(content))
    found = record.read(tmp_path / "record.json")
    assert found["test"]["federated"]["all"]["micro"]["f1"] is None
    assert found["differences"] == {}


def test_the_mean_over_seeds_leaves_out_those_in_which_it_is_undefined() -> None:
    system = System("s", [RIGHT, counted(("es", {A}, set()), ("ca", {B}, {B}))])
    assert system.by_seed("ca") == [1.0]  # the first seed has no mention in Catalan
    assert system.f1("ca") == 1.0  # as 0 beside it would give 1/2
    assert system.f1("es") == 0.5  # (1 + 0) / 2


def test_a_system_of_nothing_is_shown_as_undefined() -> None:
    system = System("s", [NOTHING])
    assert math.isnan(system.f1())
    assert bracketed(system.f1(), system.interval()) == "-"
    assert seeds_range(system.by_seed()) == "-"
    difference, interval = system.minus(System("t", [RIGHT]))
    assert bracketed(difference, interval) == "-"
    assert gap_closed(System("f", [RIGHT]), [System("l", [NOTHING])], System("c", [RIGHT])) is None


def test_the_clinic_with_false_positives_alone_is_the_worst() -> None:
    worst = worst_clinic(System.of_clinics("s", [{"north": RIGHT, "south": WRONG, "west": NOTHING}]))
    assert worst is not None
    assert (list(worst.clinics[0]), worst.f1()) == (["south"], 0.0)
    shown = scores_table({"s": merging.evaluation({"north": RIGHT, "south": WRONG, "west": NOTHING})})
    assert shown.endswith(".000 (south)")


def test_tables_and_their_numbers_hold_no_nan() -> None:
    assert [fraction(each) for each in (None, NAN, 0.0, 1.0)] == ["-", "-", ".000", "1.000"]
    assert mean([None, NAN, 0.5]) == 0.5
    assert Table("", "", {"f1": NAN, "interval": (NAN, NAN), "by": {"ca": 0.5}, "none": []}).rows == {
        "f1": None,
        "interval": None,
        "by": {"ca": 0.5},
        "none": [],
    }


@pytest.mark.parametrize(("counts", "f1"), [(NOTHING, None), (WRONG, 0.0), (RIGHT, 1.0)])
def test_an_undefined_validation_is_no_candidate_for_the_best_round(counts: SpanCounts, f1: float | None) -> None:
    answer = Answer("north", {}, {}, counts={("federated", "all"): counts})
    assert validation_score([answer]) == (f1, "")
    assert validation_score([]) == (None, "")


def test_an_undefined_score_is_no_point_of_a_curve() -> None:
    entry: Any = {"loss": 1.0, "clinics": {}, "validation": merging.evaluation({"north": NOTHING})}
    entry |= dict.fromkeys(("seconds", "aggregate_s", "bytes_up", "bytes_down"), 0)
    assert [name for name, _ in tracking.scalars(entry) if name.startswith("validation")] == []


def test_a_plot_leaves_a_gap_where_a_round_is_undefined() -> None:
    from clinfed.evaluation.report import plots

    evaluated = [merging.evaluation({"north": counts}) for counts in (NOTHING, RIGHT, NOTHING)]
    rounds = [{"round": number, "validation": each} for number, each in enumerate(evaluated, 1)]
    figure = plots.rounds({"rounds": rounds})  # type: ignore[arg-type]
    drawn = figure.axes[0].lines[0].get_ydata(orig=False)
    assert [math.isnan(float(each)) for each in drawn] == [True, False, True]
    plots.systems([System("nothing", [NOTHING]), System("right", [RIGHT])])


def test_an_interval_of_too_few_patients_is_none_and_prints_as_a_dash() -> None:
    """Replicates that repeat the totals draw from nobody: [F1, F1] would claim that F1 is known exactly."""
    rows = np.tile([3, 1, 1], (20, 1))
    firm = SpanCounts({("es", "I10"): Counts(3, 1, 1)}, {"es": rows})
    assert scores.span_evaluation(firm, {})["interval"] is None
    assert scores.span_evaluation(firm, {})["by_language"]["es"]["interval"] is None
    system = System("site", [firm])
    assert bracketed(system.f1(), system.interval()) == ".750 [-]"  # 6 / (6 + 1 + 1)
    assert bracketed(*system.minus(system)) == ".000 [-]"
    assert ".750 [-]" in scores_table({"site": scores.span_evaluation(firm, {})})
    rows = rows.copy()
    rows[0] = 0  # one that differs was drawn
    drawn = SpanCounts({("es", "I10"): Counts(3, 1, 1)}, {"es": rows})
    assert scores.span_evaluation(drawn, {})["interval"] is not None
