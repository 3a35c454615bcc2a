"""A run's scores had again from the counts that it kept."""

from collections.abc import Iterator, Mapping

from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.hits import ADAPTER
from clinfed.evaluation.merging import evaluation, paired_differences
from clinfed.evaluation.report.results import ALL, Finished
from clinfed.evaluation.unit_counts import total
from clinfed.runs.record import ADAPTERS


def verify(run: Finished) -> list[str]:
    """Return what of a run's scores and differences cannot be had again from its counts, empty where all can.

    Scores: on test, and on validation after the last round, where its counts were kept.
    """
    again = {key: evaluation(clinics) for key, clinics in run.counts.items()}
    stated = {(system, gold): each for system, golds in run.record["test"].items() for gold, each in golds.items()}
    wrong = [f"{system}, {gold} gold" for system, gold in stated if again.get((system, gold)) != stated[system, gold]]
    against_all = {system: each for (system, gold), each in run.counts.items() if gold == ALL}
    adapter = next(name for name in ADAPTERS if name in against_all)
    paired = paired_differences(against_all, adapter)
    said = run.record.get("differences", {})
    validation, validated = run.record["rounds"][-1]["validation"], run.by_clinic("validation")
    if validated or (validation and validation["interval"]):  # older versions kept neither counts nor interval
        wrong += ["validation"] if validation != evaluation(validated) else []
    for split, evaluated in (("test", run.counts), ("validation", run.validated)):
        wrong += [f"{split}, {system}, counts by patient" for system in _differing_units(run, split, evaluated)]
    return [*wrong, *(f"{adapter} minus {system}" for system in said if said[system] != paired.get(system))]


def _differing_units(
    run: Finished, split: str, evaluated: Mapping[tuple[str, str], Mapping[str, SpanCounts]]
) -> Iterator[str]:
    """Yield the systems whose counts by patient, where they were kept, do not add up to the clinics' counts.

    A clinic without test notes keeps none, of its validation notes neither.
    """
    for (system, gold), clinics in evaluated.items():
        units = run.by_unit(split, ADAPTER if system in ADAPTERS else system)
        held = clinics.keys() & units.keys()
        if gold == ALL and any(total(units[name]) != clinics[name].by_code for name in held):
            yield system
