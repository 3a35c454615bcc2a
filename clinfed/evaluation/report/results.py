"""What is finished of a comparison: runs by row and seed, read from the files that they wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinfed.errors import UserError
from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.hits import Hits
from clinfed.evaluation.hits import read as read_hits
from clinfed.evaluation.record import RunRecord, merged, read, read_counts

ALL = "all"  # gold
ADAPTERS = ("federated", "centralised")  # what a record may call the adapter that was trained
JOINED = "joined"  # what a record calls the adapter's spans joined with each clinic's own lexicon
LEXICONS = {"lexicon, pooled": "pooled_lexicon", "lexicons, each clinic's own": "clinic_lexicons"}


@dataclass(frozen=True)
class Finished:
    """One finished run: its record and its test counts by (system, gold) and clinic."""

    record: RunRecord
    counts: Mapping[tuple[str, str], Mapping[str, SpanCounts]]
    hits: Hits | None = None  # of invented and public corpora only

    @classmethod
    def of(cls, path: Path) -> "Finished":
        """Return the run whose record this is. Raises: UserError where it was judged on no test note."""
        counts = read_counts(path.with_name("counts.json"))
        if not counts:
            raise UserError(f"{path}: the run had no test note to be judged on, expected some; take more patients")
        return cls(read(path), counts, read_hits(path.parent))

    def merged(self, system: str, gold: str = ALL) -> SpanCounts | None:
        """Return a system's counts over all clinics, None where it was not judged."""
        clinics = self.counts.get((system, gold))
        return None if clinics is None else merged(clinics)

    @property
    def adapter(self) -> SpanCounts:
        """Return the trained adapter's counts."""
        return next(found for name in ADAPTERS if (found := self.merged(name)) is not None)


@dataclass(frozen=True)
class Result:
    """What is finished of a row, by seed."""

    name: str
    runs: Mapping[int, Finished]

    @property
    def system(self) -> System:
        """Return the counts of the seeds that are finished."""
        return System(self.name, [run.adapter for run in self.runs.values()])

    @property
    def joined(self) -> System | None:
        """Return the adapter joined with each clinic's own lexicon, None unless all runs have judged that."""
        counts = [found for run in self.runs.values() if (found := run.merged(JOINED)) is not None]
        return System(f"{self.name} + lexicon", counts) if counts and len(counts) == len(self.runs) else None

    @property
    def lexicons(self) -> dict[str, System]:
        """Return the lexicons that this row's runs have judged."""
        found = {
            name: [counts for run in self.runs.values() if (counts := run.merged(key)) is not None]
            for name, key in LEXICONS.items()
        }
        return {name: System(name, counts) for name, counts in found.items() if counts}
