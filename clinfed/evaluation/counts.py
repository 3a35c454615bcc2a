"""Counts and SpanCounts: what "correct" adds up to.

Counts merge by addition; scores are derived from sums, never averaged.

Without gold and without prediction a score is undefined, and so is a macro-F1 without a code. With one of both, a ratio
whose denominator is zero is 0.0: a precision without predictions, a recall without gold.

Source: micro and macro F1 as in seqeval 1.2.2, strict mode.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from clinfed.evaluation.base import EvaluationCounts, Wire, check_array, check_languages
from clinfed.evaluation.bootstrap import Interval, Replicates, difference_interval, f1_interval
from clinfed.evaluation.scores import MENTIONS, Evaluation, Score, score, span_evaluation

OTHER = "other"  # stands for all codes that a site does not name
# A replicate draws a unit Poisson(1) times: more than 20 times once in 10^20 draws. So no sum is larger than 20 times.
DRAWN = 20
MacroOver = Literal["gold_or_predicted", "gold"]

# A code's band is its gold support in the evaluated split, merged over languages and over the clinics that name it.
# "0": predicted codes only.
BANDS = {"0": (0, 0), "1-4": (1, 4), "5-19": (5, 19), "20-99": (20, 99), "100+": (100, 10**18)}


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives, in mentions."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(self.tp - other.tp, self.fp - other.fp, self.fn - other.fn)

    @property
    def defined(self) -> bool:
        """Return whether there is any mention, in gold or prediction; precision, recall and F1 of none say nothing."""
        return self != Counts()

    @property
    def support(self) -> int:
        """Return the number of gold mentions."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """Return the share of predicted mentions that are right."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Return the share of gold mentions that were found."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, eq=False)
class SpanCounts(EvaluationCounts):
    """Counts by (language of the note, code), with bootstrap replicates of their sums by language.

    Shapes: each array of replicates is (B, 3) int64 of tp, fp, fn; no replicates at all where none were asked for.
    """

    named: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "counts": ("languages", "codes"),
        "replicates": ("replicate_languages",),
    }
    unit = MENTIONS
    score_name = "micro-F1"

    by_code: Mapping[tuple[str, str], Counts] = field(default_factory=dict)
    replicates: Mapping[str, Replicates] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        """Return the merged counts, as if the notes of both had been evaluated together.

        Raises: ValueError where one side brings counts without as many replicates as the other.
        """
        sizes = {each.num_replicates for each in (self, other) if each.by_code or each.replicates}
        if len(sizes) > 1:
            raise ValueError(f"counts with {sorted(sizes)} replicates cannot be merged: evaluate with the same number")
        by_code = dict(self.by_code)
        for key, counts in other.by_code.items():
            by_code[key] = by_code.get(key, Counts()) + counts
        replicates = dict(self.replicates)
        for language, rows in other.replicates.items():
            replicates[language] = replicates[language] + rows if language in replicates else rows
        return replace(self, by_code=by_code, replicates=replicates)

    def folded(self, named: Collection[tuple[str, str]]) -> Self:
        """Return the same counts with all but the named (language, code) under (language, OTHER)."""
        by_code: dict[tuple[str, str], Counts] = {}
        for (language, code), counts in self.by_code.items():
            key = (language, code if (language, code) in named else OTHER)
            by_code[key] = by_code.get(key, Counts()) + counts
        return replace(self, by_code=by_code)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpanCounts):
            return NotImplemented
        same_languages = self.replicates.keys() == other.replicates.keys()
        return (
            dict(self.by_code) == dict(other.by_code)
            and same_languages
            and all(np.array_equal(rows, other.replicates[language]) for language, rows in self.replicates.items())
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @property
    def num_replicates(self) -> int:
        """Return B, 0 where no replicates were asked for."""
        return next((len(rows) for rows in self.replicates.values()), 0)

    @property
    def languages(self) -> list[str]:
        """Return the languages of the evaluated notes, sorted; with replicates, also those without a single mention."""
        return sorted({language for language, _ in self.by_code} | self.replicates.keys())

    def micro(self, language: str | None = None) -> Counts:
        """Return the counts summed over codes, of one language or of all."""
        return _total(counts for (of, _), counts in self.by_code.items() if language in (None, of))

    def codes(self, language: str | None = None) -> dict[str, Counts]:
        """Return the counts of each code, sorted by code."""
        codes: defaultdict[str, Counts] = defaultdict(Counts)
        for (of, code), counts in self.by_code.items():
            if language in (None, of):
                codes[code] += counts
        return dict(sorted(codes.items()))

    def macro(self, over: MacroOver = "gold_or_predicted", language: str | None = None) -> float | None:
        """Return the unweighted mean F1 over the codes of gold or prediction (as seqeval), or of gold only.

        None where there is no such code. Codes that sites do not name are left out.
        """
        named = [counts for code, counts in self.codes(language).items() if code != OTHER]
        kept = [counts.f1 for counts in named if over == "gold_or_predicted" or counts.support]
        return sum(kept) / len(kept) if kept else None

    def bands(self) -> dict[str, Counts]:
        """Return the counts summed over the codes of each frequency band; together they are micro()."""
        return {band: _total(codes.values()) for band, codes in self.codes_by_band().items()}

    def codes_by_band(self) -> dict[str, dict[str, Counts]]:
        """Return the counts of each code by frequency band.

        OTHER is a band of its own, where sites do not name all codes: how frequent those are is not known.
        """
        codes = self.codes()
        unnamed = {OTHER: {OTHER: codes.pop(OTHER)}} if OTHER in codes else {}
        return {
            band: {code: counts for code, counts in codes.items() if low <= counts.support <= high}
            for band, (low, high) in BANDS.items()
        } | unnamed

    def support(self, language: str | None = None) -> Counter[str]:
        """Return the gold mentions of each code, of one language or of all."""
        return Counter({code: counts.support for code, counts in self.codes(language).items() if counts.support})

    def interval(self, level: float = 0.95, language: str | None = None) -> Interval:
        """Return the percentile interval of micro-F1. Raises: ValueError without replicates."""
        return f1_interval(self.summed(language), level)

    def is_drawn(self, language: str | None = None) -> bool:
        """Return whether replicates differ: those of too few patients all repeat their totals, and give no interval."""
        rows = self.summed(language)
        return len(rows) < 2 or bool((rows != rows[0]).any())

    def paired_difference(self, other: "SpanCounts", level: float = 0.95, language: str | None = None) -> Interval:
        """Return the interval of this micro-F1 minus the other's; both are of the same notes and seed."""
        return difference_interval(self.summed(language), other.summed(language), level)

    @property
    def score(self) -> float | None:
        """Return micro-F1."""
        micro = self.micro()
        return micro.f1 if micro.defined else None

    @property
    def gold(self) -> int:
        """Return the gold mentions."""
        return self.micro().support

    @property
    def predicted(self) -> int:
        """Return the predicted mentions."""
        micro = self.micro()
        return micro.tp + micro.fp

    def measures(self) -> dict[str, Any]:
        """Return the counts and scores of all codes."""
        measures: Score = score(self.micro())
        return {**measures}

    def evaluation(self, clinics: Mapping[str, "SpanCounts"]) -> Evaluation:
        """Return the scores, of all and by language, clinic and frequency of the code."""
        return span_evaluation(self, clinics)

    def check(self, *, replicates: int, shared: Collection[str] | None) -> None:
        """Raise ValueError for names that must not be, or numbers that could not be added up."""
        check_languages(self.languages)
        if shared is not None and any(code != OTHER and code not in shared for _, code in self.by_code):
            raise ValueError("counts name a code that is not shared")
        if any(rows.shape != (replicates, 3) for rows in self.replicates.values()):
            raise ValueError("counts bring other replicates than were asked for")
        if replicates and not set(self.languages) <= self.replicates.keys():
            raise ValueError("counts lack replicates of a language")
        micro = self.micro()
        most = DRAWN * np.array([micro.tp, micro.fp, micro.fn], np.int64)
        if self.replicates and (self.summed() > most).any():
            raise ValueError("replicates count more than any draw of the notes does")

    def to_arrays(self) -> dict[str, Any]:
        """Return what leaves the clinic: codes, languages and integers; no note, no id, no position.

        Shapes: counts (N, 3) int64 beside N languages and N codes; replicates (L, B, 3) int64 beside L languages.
        """
        languages = sorted(self.replicates)
        rows = [self.replicates[language] for language in languages]
        counts = [(each.tp, each.fp, each.fn) for each in self.by_code.values()]
        return {
            "languages": [language for language, _ in self.by_code],
            "codes": [code for _, code in self.by_code],
            "counts": np.array(counts, np.int64).reshape(-1, 3),
            "replicate_languages": languages,
            "replicates": np.stack(rows) if rows else np.zeros((0, 0, 3), np.int64),
        }

    @classmethod
    def from_arrays(cls, wire: Wire) -> Self:
        """Return the counts that a clinic sent. Raises: ValueError where shapes, types or signs are not as agreed."""
        counts, replicates = wire["counts"], wire["replicates"]
        keys = list(zip(wire["languages"], wire["codes"], strict=True))
        languages = list(wire["replicate_languages"])
        check_array("counts", counts, (len(keys), 3))
        check_array("replicates", replicates, (len(languages), *np.shape(replicates)[1:2], 3))
        if len(set(keys)) < len(keys) or len(set(languages)) < len(languages):
            raise ValueError("counts name a language and code twice; expected each once")
        by_code = {key: Counts(*row) for key, row in zip(keys, counts.tolist(), strict=True)}
        return cls(by_code, dict(zip(languages, replicates, strict=True)))

    def summed(self, language: str | None = None) -> Replicates:
        """Return the (B, 3) replicates of one language, or of all added up."""
        rows = [rows for of, rows in self.replicates.items() if language in (None, of)]
        if not rows:
            raise ValueError("an interval needs bootstrap replicates; evaluate with replicates > 0")
        summed: Replicates = np.sum(rows, axis=0, dtype=np.int64)
        return summed


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _total(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())
