"""What is finished of a comparison: runs by row and seed, read from the files that they wrote."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from clinfed.errors import UserError
from clinfed.evaluation import artefacts, siblings, unit_counts
from clinfed.evaluation.artefacts import OUTCOMES, TRAINED, UNITS, VALIDATION_UNITS
from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.hits import ADAPTER, Hits
from clinfed.evaluation.hits import read as read_hits
from clinfed.evaluation.merging import merged
from clinfed.evaluation.outcomes import Outcomes
from clinfed.evaluation.outcomes import read as read_outcomes
from clinfed.evaluation.unit_counts import UnitCounts
from clinfed.runs.record import ADAPTERS, COUNTS, VALIDATION_COUNTS, RunRecord, read, read_counts

ALL = "all"  # gold
FEDERATED = "federated"  # what a record calls the adapter of a federation
ENSEMBLE = "joined"  # a record's key, of version 0.1: adapter and a lexicon of the notes that it was trained on
WITH_LEXICON = " + lexicon"  # ends the name of a row's ensemble
LEXICONS = {"lexicon, pooled": "pooled_lexicon", "lexicons, each clinic's own": "clinic_lexicons"}


@dataclass(frozen=True)
class Finished:
    """One finished run: its record, and its counts by (system, gold) and clinic on test and, last, on validation."""

    record: RunRecord
    counts: Mapping[tuple[str, str], Mapping[str, SpanCounts]]
    hits: Hits | None = None  # of invented and public corpora only
    validated: Mapping[tuple[str, str], Mapping[str, SpanCounts]] = field(default_factory=dict)
    # Split -> system -> clinic; of invented and public corpora only.
    units: Mapping[str, Mapping[str, Mapping[str, UnitCounts]]] = field(default_factory=dict)
    # System -> clinic, on test; of invented and public corpora only.
    outcomes: Mapping[str, Mapping[str, Outcomes]] = field(default_factory=dict)
    # Clinic -> code -> training mentions; likewise.
    trained: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    siblings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # evaluation.siblings.merged

    @classmethod
    def of(cls, path: Path) -> "Finished":
        """Return the run whose record this is. Raises: UserError where it was evaluated on no test note."""
        record = read(path)
        evaluated = [each for golds in record["test"].values() for each in golds.values()]
        if unit := next((each["unit"] for each in evaluated if "unit" in each), ""):
            raise UserError(f"{path}: the run counts {unit}, expected mentions; its own test table has its scores")
        counts = read_counts(path.with_name(COUNTS))
        if not counts:
            raise UserError(f"{path}: the run had no test notes; expected at least one; take more patients")
        validation = path.with_name(VALIDATION_COUNTS)  # older versions kept none
        validated = read_counts(validation) if validation.is_file() else {}
        files = {"test": UNITS, "validation": VALIDATION_UNITS}
        units = {split: unit_counts.read(path.with_name(file)) for split, file in files.items()}
        kept = read_outcomes(path.with_name(OUTCOMES))
        trained = artefacts.read(path.with_name(TRAINED))
        found = (read_hits(path.parent), validated, units, kept)
        return cls(record, counts, *found, trained=trained, siblings=siblings.read(path.parent))

    @cached_property
    def adapter(self) -> SpanCounts:
        """Return the trained adapter's counts on test."""
        return merged(self.by_clinic("test"))

    @cached_property
    def gold(self) -> dict[str, int]:
        """Return the gold mentions by language: others where other notes were evaluated, or a clinic was left out."""
        return {of: gold for of in self.adapter.languages if (gold := self.adapter.micro(of).support)}

    def by_clinic(self, split: str) -> Mapping[str, SpanCounts]:
        """Return the trained adapter's counts on "test" or "validation" against all gold, by clinic; {} of none."""
        counts = self.counts if split == "test" else self.validated
        return next((counts[name, ALL] for name in ADAPTERS if (name, ALL) in counts), {})

    def by_unit(self, split: str, system: str = ADAPTER) -> Mapping[str, UnitCounts]:
        """Return a system's counts by clinic and unit, {} where none were kept."""
        return self.units.get(split, {}).get(system, {})


@dataclass(frozen=True)
class Result:
    """What is finished of a row, by seed."""

    name: str
    runs: Mapping[int, Finished]

    def of_seeds(self, seeds: Collection[int]) -> "Result":
        """Return the row with these seeds only."""
        if self.runs.keys() <= set(seeds):
            return self  # with what it has merged
        return Result(self.name, {seed: run for seed, run in self.runs.items() if seed in seeds})

    @property
    def is_federated(self) -> bool:
        """Return whether a federation has trained the row."""
        return any((FEDERATED, ALL) in run.counts for run in self.runs.values())

    @property
    def is_whole(self) -> bool:
        """Return whether the row was trained on all notes: not on one clinic's, on one language's or on a share."""
        config = next(iter(self.runs.values())).record["config"]
        only = config.get("only", {})
        return not (only.get("clinic") or only.get("language")) and only.get("share", 1.0) == 1.0

    @property
    def has_lexicon_input(self) -> bool:
        """Return whether the row's adapter is told what a lexicon finds."""
        return bool(next(iter(self.runs.values())).record["config"].get("task", {}).get("lexicon", False))

    @cached_property
    def system(self) -> System:
        """Return the counts of the seeds that are finished."""
        return self._adapter("test")

    @cached_property
    def validation(self) -> System | None:
        """Return the same on validation notes after the last round, None unless all runs have kept those counts."""
        system = self._adapter("validation")
        return system if system.clinics and all(system.clinics) else None

    @cached_property
    def ensemble(self) -> System | None:
        """Return the adapter + lexicon ensembles of the trained notes, None unless all runs have one."""
        return self._beside(ENSEMBLE, f"{self.name}{WITH_LEXICON}")

    @cached_property
    def lexicons(self) -> dict[str, System]:
        """Return the lexicons that all runs of this row have evaluated; a clinic's own follows the seed's partition."""
        found = {name: self._beside(key, name) for name, key in LEXICONS.items()}
        return {name: system for name, system in found.items() if system is not None}

    @property
    def _in_order(self) -> list[Finished]:
        """Return the runs in the order of their seeds, by which two rows are paired."""
        return [run for _, run in sorted(self.runs.items())]

    def _adapter(self, split: str) -> System:
        runs = self._in_order
        return System.of_clinics(
            self.name, [run.by_clinic(split) for run in runs], [run.by_unit(split) for run in runs]
        )

    def _beside(self, key: str, name: str) -> System | None:
        runs = self._in_order
        clinics = [run.counts[key, ALL] for run in runs if (key, ALL) in run.counts]
        units = [run.by_unit("test", key) for run in runs]
        return System.of_clinics(name, clinics, units) if clinics and len(clinics) == len(self.runs) else None
