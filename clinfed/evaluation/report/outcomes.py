"""Tables of the report: kinds of mistakes and looser rules, calibration, precision at coverage. Of the first seed."""

from collections.abc import Iterator, Sequence

from clinfed.evaluation.hits import ADAPTER
from clinfed.evaluation.mistakes import KINDS
from clinfed.evaluation.outcomes import RULES, Outcomes, merged
from clinfed.evaluation.report.results import ENSEMBLE, LEXICONS, WITH_LEXICON, Result
from clinfed.evaluation.report.tables import fraction

MISTAKES_HEAD = ("system", "seed", *KINDS, *(f"F1 {rule}" for rule in RULES))
MISTAKES_TITLE = "Kinds of mistakes, in mentions, and F1 under looser rules"
RELIABILITY_HEAD = ("system", "seed", "confidence from", "to", "spans", "mean confidence", "precision", "ECE")
RELIABILITY_TITLE = "Calibration: how often spans are right, by how sure the adapter is of them"
COVERAGE_HEAD = ("system", "seed", "coverage wanted", "coverage", "least confidence", "precision")
COVERAGE_TITLE = "Precision at coverage: only the surest spans are kept"
COVERAGES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of all predicted spans


def mistake_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a system below MISTAKES_HEAD, those that have kept their outcomes."""
    rows = []
    for name, seed, each in _systems(results):
        kinds = [str(each.kinds.get(kind, 0)) for kind in KINDS]
        rows.append([name, str(seed), *kinds, *(fraction(each.rules[rule].f1) for rule in RULES)])
    return rows


def reliability_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a system and bin of confidence below RELIABILITY_HEAD; ECE: expected calibration error, of all."""
    return [
        [
            *(name, str(seed), f"{bin_.low:.1f}", f"{bin_.high:.1f}", str(bin_.spans)),
            *(fraction(bin_.confidence), fraction(bin_.precision), fraction(each.calibration_error())),
        ]
        for name, seed, each in _systems(results)
        for bin_ in each.reliability()
    ]


def coverage_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a system and coverage below COVERAGE_HEAD."""
    return [
        [name, str(seed), *map(fraction, (wanted, left.coverage, left.least, left.precision))]
        for name, seed, each in _systems(results)
        for wanted, left in zip(COVERAGES, each.at_coverage(COVERAGES), strict=False)
    ]


def _systems(results: Sequence[Result]) -> Iterator[tuple[str, int, Outcomes]]:
    """Yield name, seed and outcomes of the first seed of each row, its ensemble, and one row's lexicons."""
    finished = [result for result in results if result.runs]
    for key, suffix in ((ADAPTER, ""), (ENSEMBLE, WITH_LEXICON)):
        for result in finished:
            seed = min(result.runs)
            if clinics := result.runs[seed].outcomes.get(key):
                yield f"{result.name}{suffix}", seed, merged(clinics)
    for name, key in LEXICONS.items():
        for result in finished:
            seed = min(result.runs)
            if name in result.lexicons and (clinics := result.runs[seed].outcomes.get(key)):
                yield name, seed, merged(clinics)
                break
