"""What a record says of counts: the scores of all clinics together, by language and by clinic."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from clinfed.evaluation.counts import Counts, SpanCounts

MENTIONS = "mentions"


class Score(TypedDict):
    """Counts in mentions, and what follows from them; interval: 95% of F1, null without replicates, or undefined.

    Scores of neither gold nor prediction are undefined: null.
    """

    tp: int
    fp: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None
    interval: NotRequired[Sequence[float] | None]


class Evaluation(TypedDict):
    """Strict scores of one system on one split against one gold, from merged counts."""

    micro: Score
    macro: dict[str, float | None]  # mean F1 over the codes of "gold_or_predicted" (as seqeval), and of "gold"
    macro_interval: NotRequired[Sequence[float] | None]  # of the first; only where notes and not counts are at hand
    by_language: dict[str, Score]  # language of the note
    by_clinic: dict[str, Score]
    # Codes by their merged gold support in this split: "0", "1-4", "5-19", "20-99", "100+"; sites do not name "other".
    bands: dict[str, Score]
    # 95% of micro-F1: bootstrap over patients, or notes where there is no patient; null before the last validation, and
    # where too few patients are there to draw from.
    interval: list[float] | None
    unit: NotRequired[str]  # what is counted, where that is not mentions


class Measures(TypedDict):
    """What stands in the place of an Evaluation where a task counts no hits and misses."""

    unit: str  # what is counted, such as "tokens"
    score: str  # which measure says how good the model is, such as "perplexity"
    lower_is_better: bool
    measures: dict[str, float | None]  # by name, of everything that was counted; None: undefined
    by_language: dict[str, dict[str, float | None]]
    by_clinic: dict[str, dict[str, float | None]]


def score(counts: "Counts") -> Score:
    """Return counts and the scores that follow from them."""
    found = (counts.precision, counts.recall, counts.f1) if counts.defined else (None, None, None)
    precision, recall, f1 = found
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "precision": precision, "recall": recall, "f1": f1}


def span_evaluation(whole: "SpanCounts", clinics: "Mapping[str, SpanCounts]") -> Evaluation:
    """Return the scores of all clinics' counts, merged; with one entry for each clinic."""
    evaluation: Evaluation = {
        "micro": score(whole.micro()),
        "macro": {"gold_or_predicted": whole.macro("gold_or_predicted"), "gold": whole.macro("gold")},
        "by_language": {
            language: {**score(whole.micro(language)), "interval": _interval(whole, language)}
            for language in whole.languages
        },
        "by_clinic": {name: score(clinics[name].micro()) for name in sorted(clinics)},
        "bands": {band: score(counts) for band, counts in whole.bands().items()},
        "interval": _interval(whole),
    }
    return {**evaluation, "unit": whole.unit} if whole.unit != MENTIONS else evaluation


def _interval(counts: "SpanCounts", language: str | None = None) -> list[float] | None:
    known = counts.num_replicates and counts.micro(language).defined
    return list(counts.interval(language=language)) if known and counts.is_drawn(language) else None
