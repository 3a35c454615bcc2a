"""What each clinic gains: the federation's adapter against the clinic's own, on the test notes of its own patients."""

from collections.abc import Iterator, Sequence

from clinfed.evaluation.comparison import System
from clinfed.evaluation.over_clinics import over_clinics
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import bracketed, fraction, listed, mean

GAINS_HEAD = ("clinic", "seeds", "its own adapter", "federated", "gain [95% interval over patients]")
GAINS_TITLE = "Gain over training alone, for each clinic on its own patients"
MEAN = "mean over clinics"
LOCAL = "local "  # begins the name of a row that one clinic has trained alone


def gain_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a clinic and their mean below GAINS_HEAD; [] without a federation and a clinic's row of one seed.

    The mean's interval draws clinics, each with all its seeds: with a partition by chance a name is another clinic in
    each seed, by language it is the same one.
    """
    rows, gains = [], []
    for clinic, seeds, alone, together in _pairs(results):
        gain, interval = together.minus(alone)
        gains.append(gain)
        scores = [fraction(alone.f1()), fraction(together.f1())]
        rows.append([clinic, listed(seeds), *scores, bracketed(gain, interval)])
    if len(rows) > 1:
        rows.append([MEAN, "", "", "", _mean_cell(gains)])
    return rows


def _mean_cell(gains: Sequence[float]) -> str:
    interval, lost = over_clinics(gains), sum(gain < 0 for gain in gains)
    found = mean(gains)
    cell = (
        f"{bracketed(found, interval)} over clinics" if interval else f"{fraction(found)}, too few clinics to draw from"
    )
    return f"{cell}; {lost} of {len(gains)} lose"


def _pairs(results: Sequence[Result]) -> Iterator[tuple[str, list[int], System, System]]:
    """Yield clinic, seeds, and the clinic's own adapter and the federation's on the clinic's test notes."""
    named = {result.name: result for result in results if result.runs}
    federated = named["federated"].runs if "federated" in named else {}
    for clinic in sorted({clinic for run in federated.values() for clinic in run.by_clinic("test")}):
        own = named[f"{LOCAL}{clinic}"].runs if f"{LOCAL}{clinic}" in named else {}
        pairs = {
            seed: (own[seed].by_clinic("test").get(clinic), federated[seed].by_clinic("test").get(clinic))
            for seed in sorted(own.keys() & federated.keys())
        }
        both = {
            seed: (ours, theirs)
            for seed, (ours, theirs) in pairs.items()
            if ours and theirs and ours.micro().defined and theirs.micro().defined
        }
        if both:
            alone, together = zip(*both.values(), strict=True)
            yield clinic, [*both], System(clinic, alone), System(clinic, together)
