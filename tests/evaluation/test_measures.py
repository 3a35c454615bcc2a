"""Counts of another kind than hits: on the wire, in the record and in what a run prints, by their own class alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from clinfed import protocol
from clinfed.errors import UserError
from clinfed.evaluation import merging
from clinfed.evaluation.base import EvaluationCounts, Wire, check_array, refuse_incomplete
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.report.measures import headline, measured_rows
from clinfed.evaluation.report.tables import scores_table
from clinfed.evaluation.scores import Measures
from clinfed.runs import record as records
from clinfed.tasks.mlm import Mlm
from configs import load
from server.coordinator import Coordinator


@dataclass(frozen=True)
class Steps(EvaluationCounts):
    """Steps taken in each place: a kind of counts that no file of the project knows."""

    named = {"counts": ("places",)}  # noqa: RUF012
    unit = "steps"
    score_name = "steps"

    taken: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        return type(self)({at: self.taken.get(at, 0) + other.taken.get(at, 0) for at in {**self.taken, **other.taken}})

    @property
    def score(self) -> float:
        return float(sum(self.taken.values()))

    def measures(self) -> dict[str, Any]:
        return {"steps": int(self.score), "places": len(self.taken)}

    def evaluation(self, clinics: Mapping[str, Any]) -> Measures:
        return {
            "unit": self.unit,
            "score": "steps",
            "lower_is_better": False,
            "measures": self.measures(),
            "by_language": {},
            "by_clinic": {name: each.measures() for name, each in clinics.items()},
        }

    def to_arrays(self) -> dict[str, Any]:
        return {"places": [*self.taken], "counts": np.array([*self.taken.values()], np.int64).reshape(-1, 1)}

    @classmethod
    def from_arrays(cls, wire: Wire) -> Self:
        check_array("steps", wire["counts"], (len(wire["places"]), 1))
        return cls(dict(zip(wire["places"], wire["counts"][:, 0].tolist(), strict=True)))

    def check(self, *, replicates: int, shared: Collection[str] | None) -> None:
        pass


KEY = (protocol.FEDERATED, protocol.ALL_GOLD)


def test_the_wire_carries_counts_of_a_kind_that_it_does_not_know() -> None:
    for counts in (Steps({"park": 7, "": 2}), Steps()):
        arrays, names = protocol.counts_to_wire({KEY: counts})
        assert protocol.counts_from_wire(arrays, names, Steps) == {KEY: counts}


def test_counts_of_spans_travel_under_the_names_of_version_0_1() -> None:
    arrays, names = protocol.counts_to_wire({KEY: SpanCounts()})
    assert sorted(arrays) == ["federated.all.counts", "federated.all.replicates"]
    assert sorted(names) == [f"federated.all.{key}" for key in ("codes", "languages", "replicate_languages")]


def test_a_record_merges_and_keeps_them(tmp_path: Path) -> None:
    clinics = {"north": Steps({"park": 7}), "south": Steps({"park": 1, "lake": 30})}
    evaluated = merging.evaluation(clinics)
    assert evaluated["measures"] == {"steps": 38, "places": 2}  # type: ignore[typeddict-item]
    records.write_counts(tmp_path / "counts.json", {KEY: clinics | {"west": Steps()}})
    assert records.counts_of_kind(tmp_path / "counts.json", Steps) == {KEY: clinics | {"west": Steps()}}


def test_they_are_printed_by_the_names_of_what_they_measure() -> None:
    table = scores_table({"federated adapter": merging.evaluation({"north": Steps({"park": 7}), "south": Steps()})})
    head, row = table.splitlines()
    assert head.split() == ["system", "steps", "places", "worst"]
    assert row.split() == ["federated", "adapter", "7", "1", "0.00", "(south)"]


@pytest.mark.parametrize("lower", [False, True])
def test_a_clinic_that_has_counted_nothing_is_not_the_worst(lower: bool) -> None:
    none: dict[str, float | None] = {"error": None}
    evaluated: Measures = {
        "unit": "steps",
        "score": "error",
        "lower_is_better": lower,
        "measures": {"error": 2.0},
        "by_language": {"es": {"error": 2.0}, "ca": none},
        "by_clinic": {"north": {"error": 2.0}, "south": none},
    }
    assert headline(evaluated) == ["error 2.00", "es 2.00", "ca -", "worst 2.00 (north)"]
    assert measured_rows({"adapter": evaluated})[1] == ["adapter", "2.00", "-", "2.00", "2.00 (north)"]
    evaluated = {**evaluated, "measures": none, "by_clinic": {"south": none}}
    assert headline(evaluated)[::3] == ["error -", "worst -"]


class Incomplete(Steps):
    """Steps whose evaluation forgets a key."""

    def evaluation(self, clinics: Mapping[str, Any]) -> Measures:
        whole: Any = super().evaluation(clinics)
        return whole.__class__((key, each) for key, each in whole.items() if key != "lower_is_better")


def test_an_evaluation_without_a_key_is_refused_in_one_line() -> None:
    for kind in (Steps, SpanCounts):
        refuse_incomplete(kind)
    with pytest.raises(
        UserError, match=r"Incomplete\.evaluation lacks lower_is_better; expected every key of Measures"
    ):
        refuse_incomplete(Incomplete)


def test_a_run_is_refused_before_its_first_greeting(tmp_path: Path) -> None:
    run = replace(load(), task=Forgetful())
    backend: Any = None  # never asked
    with pytest.raises(UserError, match="lacks lower_is_better"):
        Coordinator(tmp_path, backend, run)


@dataclass(frozen=True)
class Forgetful(Mlm):
    """A task that counts by an incomplete kind."""

    counts = Incomplete
