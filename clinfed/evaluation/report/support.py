"""Table of the report: F1 of codes by how often training notes hold them, and by how many clinics do. First seed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from clinfed.evaluation.counts import BANDS, OTHER, Counts
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import fraction

SUPPORT_HEAD = ("system", "seed", "codes in", "how many", "codes", "gold mentions", "false positives", "micro-F1")
SUPPORT_TITLE = "Codes by the training mentions of all clinics, and by how many clinics hold them"
WITHOUT_GOLD = "test notes"  # codes that these never hold: all that is predicted is wrong


def support_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a system and band below SUPPORT_HEAD; of runs that have kept what their clinics trained on.

    Codes without gold have a row of their own and are in no other, so that each F1 is of codes that can be found.
    """
    rows = []
    for result in results:
        seed = min(result.runs, default=None)
        if seed is not None and (trained := result.runs[seed].trained):
            for of, band, codes in _bands(result.runs[seed].adapter.codes(), trained):
                total = sum(codes.values(), Counts())
                f1 = fraction(total.f1) if total.support else "-"
                numbers = [str(each) for each in (len(codes), total.support, total.fp)]
                rows.append([result.name, str(seed), of, band, *numbers, f1])
    return rows


def _bands(
    codes: Mapping[str, Counts], trained: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[str, str, dict[str, Counts]]]:
    """Yield what is counted, the band's name and its codes. trained: clinic -> code -> training mentions."""
    mentions: Counter[str] = Counter()
    for held in trained.values():
        mentions.update(held)
    holders = Counter(code for held in trained.values() for code, count in held.items() if count)
    named = {code: counts for code, counts in codes.items() if code != OTHER}
    found = {code: counts for code, counts in named.items() if counts.support}
    for band, (low, high) in BANDS.items():
        yield "training notes", band, {code: each for code, each in found.items() if low <= mentions[code] <= high}
    for number in range(len(trained) + 1):
        yield "clinics", str(number), {code: each for code, each in found.items() if holders[code] == number}
    yield WITHOUT_GOLD, "0", {code: each for code, each in named.items() if not each.support}
