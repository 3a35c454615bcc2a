"""Whether the scores of finished runs, and what a page says of them, follow from the counts beside their records."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.page import Report
from clinfed.evaluation.report.recomputed import verify
from clinfed.experiments.gathered import Found
from clinfed.runs import documents


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is not as the counts say."""

    of: str
    again: str  # what is said if all is the same
    differing: Sequence[str]

    def __str__(self) -> str:
        return f"{self.of}: {'differs: ' + '; '.join(self.differing) if self.differing else self.again}"


def verified_runs(found: Sequence[Found]) -> Iterator[Verified]:
    """Yield what each run's counts give again."""
    for path, name, finished in found:
        again = "all scores again" if finished.validated else "all test scores again"
        yield Verified(f"{path}: {name}", again, verify(finished))


def verified_documents(paths: Iterable[Path]) -> Iterator[Verified]:
    """Yield what the counts of each run of `clinfed classify` give again."""
    for path in paths:
        run = next(iter(read_finished([path]).values()))
        different = documents.verify(run.record, run.counts)
        yield Verified(f"{path.parent}: documents", "all test scores again", different)


def verified_page(report: Report, page: Path) -> Verified:
    """Return whether a page and the tables beside it say what the runs give again."""
    return Verified(str(page), "all that it says again", report.differing(page))
