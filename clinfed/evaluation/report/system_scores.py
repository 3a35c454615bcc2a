"""The scores of a system, as means over its seeds: of all notes, by language, by frequency, of the worst clinic."""

from collections.abc import Iterable
from dataclasses import dataclass

from clinfed.evaluation.bootstrap import Interval
from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import BANDS, Counts
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import mean
from clinfed.evaluation.unit_counts import ALL

FREQUENCIES = [band for band in BANDS if band != "0"]  # a code that gold never holds has no recall to speak of

WORST = "worst clinic, post-selection"  # chosen by the very score whose interval is shown: it is too low for a clinic


@dataclass(frozen=True)
class Score:
    """One score of a system, the mean over its seeds. of: all notes, one language's, some codes, one clinic's."""

    split: str  # test or validation
    of: str
    micro_f1: float
    interval: Interval | None  # of the micro-F1
    macro_f1: float
    macro_interval: Interval | None


def scores(result: Result) -> list[Score]:
    """Return all scores of a row, means over its seeds: on both splits over all notes, by language and by frequency.

    Of validation where all its runs have kept those counts.
    """
    found = scores_of("test", result.system)
    return found + (scores_of("validation", result.validation) if result.validation else [])


def scores_of(split: str, system: System) -> list[Score]:
    """Return all scores of one system on one split."""

    def score(of: str, evaluated: System, language: str | None = None) -> Score:
        macro = mean(run.macro("gold_or_predicted", language) for run in evaluated.having(language))
        spread = evaluated.group_intervals(ALL if language is None else language).macro
        return Score(split, of, evaluated.f1(language), evaluated.interval(language), macro, spread)

    found = [score("all", system), *(score(language, system, language) for language in sorted(system.languages))]
    for band, (micro, macro) in by_frequency(system).items():
        spread = system.group_intervals(f"codes {band}")
        found.append(Score(split, f"codes {band}", micro, spread.micro, macro, spread.macro))
    lowest = worst_clinic(system)
    return [*found, score(WORST, lowest)] if lowest else found


def by_frequency(system: System) -> dict[str, tuple[float, float]]:
    """Return the mean micro- and macro-F1 over the codes of those of FREQUENCIES that gold has codes of."""
    by_band = [run.codes_by_band() for run in system.runs]
    held = {band: [[*codes.values()] for run in by_band if (codes := run[band])] for band in FREQUENCIES}
    return {
        band: (
            plain_mean(sum(codes, Counts()).f1 for codes in runs),
            plain_mean(plain_mean(each.f1 for each in codes) for codes in runs),
        )
        for band, runs in held.items()
        if runs
    }


def worst_clinic(system: System) -> System | None:
    """Return each seed's clinic of the lowest F1, of those with any mention, gold or predicted; None where none has."""
    lowest, units = [], []
    for number, clinics in enumerate(system.clinics):
        evaluated = [name for name in clinics if clinics[name].micro().defined]
        if evaluated:
            worst = min(evaluated, key=lambda name: clinics[name].micro().f1)
            lowest.append({worst: clinics[worst]})
            units += [{worst: each[worst]} for each in system.units[number : number + 1]]
    return System.of_clinics("worst clinic", lowest, units) if lowest else None


def plain_mean(values: Iterable[float]) -> float:
    """Return the mean, 0 of no value."""
    found = list(values)
    return sum(found) / len(found) if found else 0.0
