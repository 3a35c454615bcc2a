"""The rows of a comparison: which systems there are, on one budget, and what is finished of each in its folder."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import configs
from clinfed import fingerprints
from clinfed.corpus.language import with_languages
from clinfed.errors import UserError
from clinfed.experiments.launch import DEFAULT_CLINICS
from clinfed.runs import checkpoints, documents
from configs.migrations import completed

if TYPE_CHECKING:
    from clinfed.training.settings import Training

ROWS = "compare.rows="
NAME = " ,+"  # kept in the name of a row's folder; a clinic's name may hold anything, a slash too
LOCAL = "local "  # begins the name of a row that one clinic trains alone
# What all rows of a comparison share, or they say nothing.
BUDGET = ("rounds", "training.local_epochs", "corpus", "only.", "seed", "partition", "clinics", "base")
NO_DIFFERENCE = ("seed", "output", "resume", "tracking", "experiment")  # keys of a run that make no other system


@dataclass(frozen=True)
class Row:
    """One system of the comparison, and the command that trains it."""

    name: str
    command: str  # "train", "simulate" or "classify"; "lexicons" or "ensemble" of clinfed.experiments.opponents
    overrides: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # the resolved run, of any seed
    absent: frozenset[int] = frozenset()  # seeds whose partition deals the row no training note
    trials: tuple[tuple[str, ...], ...] = ()  # overrides to choose from on validation (trials.py)
    members: tuple["Row", ...] = ()  # whose adapters an ensemble joins

    @property
    def record(self) -> str:
        """Return the name of the file that a finished run leaves."""
        return documents.FILE if self.command == "classify" else "record.json"

    def finished(self, parent: Path, seed: int) -> Path | None:
        """Return the record of the newest finished run of a seed, None where that one had other settings.

        A row may mean something else after an upgrade. Settings that only one of the two versions knows do not count.
        """
        path = record_of(self.folder(parent, seed), self.record)
        if path is None:
            return None
        had = completed(json.loads(path.read_text(encoding="utf-8"))["config"])
        known = [key for key in self.changed(had) if configs.has(had, key) and configs.has(self.settings, key)]
        return None if known else path

    def interrupted(self, parent: Path, seed: int) -> Path | None:
        """Return the folder of a seed's newest run where that has ended early and can be gone on with."""
        newest = max(self.folder(parent, seed).glob("*/"), default=None)
        if newest is None or (newest / self.record).exists():
            return None
        try:
            checkpoint = checkpoints.load(newest / checkpoints.FOLDER)
        except UserError:  # none, as of a plain loop, or a damaged one
            return None
        if self.changed(checkpoint.config):
            return None
        run = configs.load(configs.to_overrides(self.settings))
        ours = {"code": fingerprints.code(), **fingerprints.of_use(run, run.corpus.codes())}
        return newest if ours.items() <= checkpoint.fingerprints.items() else None

    def changed(self, config: Mapping[str, Any]) -> list[str]:
        """Return the settings of a run that are not the row's."""
        return [
            key for key in configs.differing(completed(config), self.settings) if key.split(".")[0] not in NO_DIFFERENCE
        ]

    @property
    def is_local(self) -> bool:
        """Return whether one clinic trains it alone."""
        return any(override.startswith("only.clinic=") for override in self.overrides)

    @property
    def spans(self) -> bool:
        """Return whether it is evaluated by strict spans, and not by documents."""
        return self.command != "classify"

    def folder(self, parent: Path, seed: int) -> Path:
        """Return where the row's run of a seed is kept."""
        return parent / quote(self.name, safe=NAME) / f"seed-{seed}"

    def seeds(self, parent: Path) -> list[int]:
        """Return the seeds that were begun."""
        names = [path.name.removeprefix("seed-") for path in self.folder(parent, 0).parent.glob("seed-*")]
        return sorted(int(name) for name in names if name.isdecimal())


def plan_rows(run: configs.Run, seeds: Iterable[int] = (0,)) -> Iterator[Row]:
    """Yield all rows: those of the experiment, else who trains on which notes; evaluated are always all clinics' notes.

    A clinic may be dealt training notes with some seeds only. One place takes as many windows a step as the clinics of
    the first seed.
    """
    if several := configs.experiment_rows(run.experiment) if run.experiment else {}:
        yield from (Row(name, "train", tuple(overrides)) for name, overrides in several.items())
        return
    rows = _usual_rows(run, seeds)
    trials = configs.experiment_trials(run.experiment) if run.experiment else {}
    yield from with_trials(list(rows), trials) if trials else rows


def with_trials(rows: Sequence[Row], trials: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[Row]:
    """Yield the rows that choose their settings, then the opponents that train no adapter of their own."""
    refuse_unequal(trials)
    chosen = [
        replace(row, trials=tuple(map(tuple, trials[key])))
        for row in rows
        if (key := _trials_of(row, trials)) in trials
    ]
    yield from chosen
    yield Row("local lexicon", "lexicons")
    if alone := tuple(row for row in chosen if row.is_local):
        yield Row("local ensemble", "ensemble", members=alone)


def _trials_of(row: Row, trials: Collection[str]) -> str:
    return row.name if row.name in trials or not row.is_local else LOCAL.strip()


def refuse_unequal(trials: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Raise UserError unless each row has as many trials, and none of them trains longer or on other notes."""
    counts = {row: len(settings) for row, settings in trials.items()}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        found = ", ".join(f"{row} {count}" for row, count in counts.items())
        raise UserError(
            f"trials: {found}; expected as many for each row, from 1; the row with most is helped by chance"
        )
    for row, settings in trials.items():
        for override in (each for of in settings for each in of):
            if override.startswith(BUDGET):
                raise UserError(f"trials of {row}: {override} changes the budget, which all rows share; leave it out")


def _usual_rows(run: configs.Run, seeds: Iterable[int]) -> Iterator[Row]:
    """Yield who trains on which notes."""
    by_seed = learners(run, seeds)
    spoken = next(iter(by_seed.values()))
    languages = sorted(set().union(*spoken.values()) - {""})
    names = sorted(set().union(*by_seed.values()))
    for name in names if len(names) > 1 else ():  # one clinic alone is the one place
        absent = frozenset(seed for seed, found in by_seed.items() if name not in found)
        yield Row(f"{LOCAL}{name}", "train", (f"only.clinic={name}",), absent=absent)
    if len(languages) > 1:
        for language in languages:
            speaking = sum(language in each for each in spoken.values())
            yield Row(f"language {language}", "train", (f"only.language={language}", together(run.training, speaking)))
    batch = together(run.training, len(spoken))
    yield Row("centralised", "train", (batch,))
    yield Row("centralised half", "train", ("only.share=0.5", batch))
    yield Row("federated", "simulate")
    yield Row("centralised lexicon", "train", ("task.lexicon=true", batch))
    yield Row("federated lexicon", "simulate", ("task.lexicon=true",))
    yield Row("document classifier", "classify")


def learners(run: configs.Run, seeds: Iterable[int]) -> dict[int, dict[str, set[str]]]:
    """Return for each seed the clinics that are dealt training notes, and the languages of those."""
    from clinfed.clinic.data import Simulation

    notes = list(with_languages(run.corpus.notes()))
    found = {}
    for seed in seeds:
        simulation = Simulation.of_notes(notes, replace(run, seed=seed), run.clinics or DEFAULT_CLINICS)
        clinics = [simulation.clinic(number, run.corpus.train_fraction) for number in range(len(simulation.dealt))]
        found[seed] = {each.name: {note.language for note in own} for each in clinics if (own := each.split("train"))}
    return found


def together(training: "Training", clinics: int) -> str:
    """Return the batch for one place that sees as many windows a step as so many clinics at once."""
    key = "batch_tokens" if training.batch_tokens else "batch_notes"
    return f"training.{key}={getattr(training, key) * clinics}"


def select(rows: list[Row], wanted: Sequence[str]) -> list[Row]:
    """Return the wanted rows. Raises: UserError, listing all, for a name that is none."""
    names = [row.name for row in rows]
    if unknown := [name for name in wanted if name not in names]:
        raise UserError(f"{ROWS}{unknown[0]}: no such row; choose from {', '.join(names)}")
    return [row for row in rows if not wanted or row.name in wanted]


def with_settings(row: Row, overrides: Sequence[str]) -> Row:
    """Return a row with its resolved run."""
    return replace(row, settings=configs.resolved(configs.load([*overrides, *row.overrides])))


def begun(every: Sequence[Row], plan: Sequence[Row], overrides: Sequence[str], folder: Path) -> list[Row]:
    """Return the wanted rows and those that earlier calls have begun, in the order of all rows.

    A call for fewer rows or seeds must not take out of the folder's file what others have brought there.
    """
    wanted = {row.name: row for row in plan}
    rows = []
    for row in every:
        if row.name in wanted:
            rows.append(wanted[row.name])
        elif row.seeds(folder):
            with suppress(UserError):  # a setting that only the wanted rows have
                rows.append(with_settings(row, overrides))
    return rows


def seeds_begun(folder: Path) -> int:
    """Return how many seeds, from 0, a comparison's rows have been begun with."""
    names = [path.name.removeprefix("seed-") for path in folder.glob("*/seed-*")]
    return max((int(name) + 1 for name in names if name.isdecimal()), default=0)


def unfinished(rows: Iterable[Row], seeds: Iterable[int], folder: Path) -> list[tuple[Row, int]]:
    """Return the rows and seeds that have no record yet, seed by seed."""
    return [
        (row, seed)
        for seed, row in product(seeds, rows)
        if seed not in row.absent and row.finished(folder, seed) is None
    ]


def record_of(folder: Path, name: str = "record.json") -> Path | None:
    """Return the newest finished run's record below a folder."""
    return max(folder.glob(f"*/{name}"), default=None)
