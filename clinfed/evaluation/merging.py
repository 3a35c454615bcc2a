"""Clinics' counts merged, and what follows from the sums: scores are derived, never averaged."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from statistics import median
from typing import TypedDict, TypeVar, cast

from clinfed.evaluation.base import EvaluationCounts
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.scores import Evaluation

C = TypeVar("C", bound=EvaluationCounts)


class Difference(TypedDict):
    """Micro-F1 of the federated adapter minus another system's, paired on the same patients, against all gold."""

    f1: float
    interval: list[float]


def merged(clinics: Mapping[str, C]) -> C:
    """Return the clinics' counts added up, in the order of names; without any, no mention was counted."""
    parts = [clinics[name] for name in sorted(clinics)]
    return reduce(add, parts) if parts else cast(C, SpanCounts())


def median_score(clinics: Mapping[str, EvaluationCounts]) -> float | None:
    """Return the median of the clinics' own scores: one of them, whatever it claims, moves it to its neighbour at most.

    Of those whose score is defined; None where none is.
    """
    scores = [each.score for each in clinics.values() if each.score is not None]
    return median(scores) if scores else None


def scores_without_each(clinics: Mapping[str, EvaluationCounts]) -> dict[str, float | None]:
    """Return clinic -> the score of all other clinics' counts; of a single clinic nothing is left.

    Halves are merged, not all others for each clinic: n log n additions, and never more than log n sums at a time.
    """
    if len(clinics) < 2:
        return {}
    scores: dict[str, float | None] = {}

    def walk(names: list[str], others: EvaluationCounts | None) -> None:
        if len(names) == 1:
            assert others is not None  # there are two clinics or more
            scores[names[0]] = others.score
            return
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        for own, other in (halves, halves[::-1]):
            beside: EvaluationCounts = merged({name: clinics[name] for name in other})
            walk(own, beside if others is None else others + beside)

    walk(sorted(clinics), None)
    return scores


def evaluation(clinics: Mapping[str, EvaluationCounts]) -> Evaluation:
    """Return the scores of all clinics' counts, merged: Measures where a task counts something else than hits.

    Give one entry where there are no clinics.
    """
    return cast(Evaluation, merged(clinics).evaluation(clinics))


def difference(ours: SpanCounts, theirs: SpanCounts) -> Difference | None:
    """Return our micro-F1 minus theirs with its paired interval, None where one of them is undefined.

    Both are evaluated on the same notes with the same seed.
    """
    if not (ours.micro().defined and theirs.micro().defined):
        return None
    return {"f1": ours.micro().f1 - theirs.micro().f1, "interval": list(ours.paired_difference(theirs))}


def paired_differences(evaluated: Mapping[str, Mapping[str, SpanCounts]], adapter: str) -> dict[str, Difference]:
    """Return the adapter's difference to each other system that the same clinics have evaluated, where it is defined.

    evaluated: system -> clinic -> counts against all gold.
    """
    clinics = evaluated.get(adapter, {})
    others = {system: of for system, of in evaluated.items() if system != adapter and of.keys() == clinics.keys()}
    found = {system: difference(merged(clinics), merged(of)) for system, of in others.items()}
    return {system: each for system, each in found.items() if each is not None}
