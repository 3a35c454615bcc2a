"""Parts of the report that need several rows or rounds: gains of clinics, and learning curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.over_clinics import FEWEST_CLINICS, over_clinics
from clinfed.evaluation.report.gains import MEAN, gain_rows
from clinfed.evaluation.report.learning import learning_rows, points
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.report.support import support_rows


def counted(tp: int) -> SpanCounts:
    counts = Counts(tp, 50 - tp, 50 - tp)
    return SpanCounts({("ca", "J00"): counts}, {"ca": np.outer(range(1, 6), [counts.tp, counts.fp, counts.fn])})


def row(name: str, found: Sequence[int]) -> Result:
    system = "federated" if name == "federated" else "local"
    counts = {(system, "all"): {f"c{number}": counted(tp) for number, tp in enumerate(found)}}
    record: Any = {"rounds": [], "config": {}}
    return Result(name, {0: Finished(record, counts)})


def test_a_clinic_s_gain_is_on_its_own_patients() -> None:
    # On c0's notes .6 by its own and .8 together; on c1's .7 and .6. What an adapter does on others' notes is not told.
    rows = gain_rows([row("federated", (40, 30)), row("local c0", (30, 1)), row("local c1", (2, 35))])
    assert rows[0] == ["c0", "0", ".600", ".800", ".200 [.200, .200]"]
    assert rows[1] == ["c1", "0", ".700", ".600", "-.100 [-.100, -.100]"]
    assert rows[2] == [MEAN, "", "", "", ".050, too few clinics to draw from; 1 of 2 lose"]
    assert gain_rows([row("federated", (40, 30))]) == []


def test_the_mean_gain_s_interval_draws_clinics() -> None:
    assert over_clinics([0.1] * (FEWEST_CLINICS - 1)) is None
    low, high = over_clinics([0.0, 0.1] * 4) or (0, 0)
    # The standard error of the mean of eight is .05 / sqrt(8) = .0177; 1.96 of it from .05 is [.015, .085].
    assert (low, high) == (pytest.approx(0.0125, abs=0.004), pytest.approx(0.0875, abs=0.004))


def test_codes_are_counted_by_training_mentions_and_by_the_clinics_that_hold_them() -> None:
    by_code = {"A": Counts(3, 1, 1), "B": Counts(1, 0, 1), "C": Counts(0, 0, 4), "D": Counts(0, 7, 0)}
    counts = {("federated", "all"): {"north": SpanCounts({("ca", code): each for code, each in by_code.items()})}}
    trained = {"north": {"A": 30, "B": 2, "D": 5}, "south": {"A": 80}}
    record: Any = {"rounds": [], "config": {}}
    rows = support_rows([Result("federated", {0: Finished(record, counts, trained=trained)})])
    found = {tuple(row[2:4]): row[4:] for row in rows}
    # A has 110 training mentions at two clinics, B 2 at one, C none; nobody's gold has D, however often it is trained.
    assert found["training notes", "100+"] == ["1", "4", "1", ".750"]
    assert found["training notes", "1-4"] == ["1", "2", "0", ".667"]
    assert found["training notes", "0"] == ["1", "4", "0", ".000"]
    assert found["training notes", "5-19"] == ["0", "0", "0", "-"]
    assert [found["clinics", str(number)][1] for number in range(3)] == ["4", "2", "4"]
    assert found["test notes", "0"] == ["1", "0", "7", "-"]
    assert support_rows([row("federated", (40,))]) == []  # nothing was kept


def entry(round_index: int, f1: float | None) -> dict[str, Any]:
    validation = None if f1 is None else {"micro": {"f1": f1}}
    clinics = {"a": {"notes": 10}, "b": {"notes": 30}}
    return {"round": round_index, "clinics": clinics, "bytes_up": 3e6, "bytes_down": 1e6, "validation": validation}


def test_a_learning_curve_adds_up_what_was_spent_before_each_validation() -> None:
    config = {"rounds": 4, "rounds_per_epoch": 2, "training": {"local_epochs": 1}}
    record: Any = {"config": config, "rounds": [entry(1, 0.4), entry(2, None), entry(3, 0.6)]}
    # Half an epoch of 40 notes a round, 4 MB each.
    assert [point[:4] for point in points(record, federated=True)] == [(1, 0.5, 20, 4e6), (3, 1.5, 60, 12e6)]
    [whole] = points({**record, "rounds": [entry(1, 0.7)]}, federated=False)  # type: ignore[typeddict-item]
    assert whole[:3] == (1, 2.0, 80)  # all epochs in one entry


def test_a_curve_is_the_mean_over_seeds() -> None:
    config = {"rounds": 1, "training": {"local_epochs": 2}}
    counts = {("federated", "all"): {"a": counted(1)}}
    runs: dict[int, Any] = {
        seed: Finished({"config": config, "rounds": [entry(1, f1)]}, counts)  # type: ignore[typeddict-item]
        for seed, f1 in ((0, 0.4), (1, 0.5))
    }
    assert learning_rows([Result("federated", runs)]) == [["federated", "2", "1", "2", "80", "4.0", ".450"]]
