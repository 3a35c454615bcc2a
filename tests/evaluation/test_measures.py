"""Counts of another kind than hits: on the wire, in the record and in what a run prints, by their own class alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from clinfed import protocol
from clinfed.evaluation import merging
from clinfed.evaluation.counts import EvaluationCounts, SpanCounts, Wire, check_array
from clinfed.evaluation.report.tables import scores_table
from clinfed.runs import record as records


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

    def evaluation(self, clinics: Mapping[str, Any]) -> Mapping[str, Any]:
        by_clinic = {name: each.measures() for name, each in clinics.items()}
        own = {"unit": self.unit, "score": "steps", "lower_is_better": False}
        return {**own, "measures": self.measures(), "by_language": {}, "by_clinic": by_clinic}

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
