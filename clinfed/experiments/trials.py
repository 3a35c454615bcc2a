"""Trials of a comparison: each trained row chooses its settings on validation notes, with as many trials as all others.

A trial is a whole run with the first seed; what it reached on test is not looked at. Its settings, once chosen, hold
for all seeds, and the run of the chosen trial is the row's run of the first seed. Trials are kept in a folder of their
own, so that they are neither run twice nor shown as rows.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clinfed.evaluation.report.tables import fraction
from clinfed.experiments.rows import Row, unfinished, with_settings
from clinfed.runs.record import RunRecord, read

FIRST_SEED = 0
FOLDER = "trials"


@dataclass(frozen=True)
class Choice:
    """What a row has chosen. scores: the validation F1 of each trial, in their order; place: of the best."""

    row: Row
    scores: tuple[float, ...]
    place: int

    @property
    def line(self) -> str:
        """Return what was chosen, and from what."""
        tried = " ".join(map(fraction, self.scores))
        return f"{self.row.name}: {' '.join(self.row.trials[self.place])} (validation F1 of its trials: {tried})"


def trials_of(rows: Sequence[Row], overrides: Sequence[str]) -> list[Row]:
    """Return the trials of all rows, each as a row of its own."""
    return [
        with_settings(replace(row, name=f"{row.name} {number}", overrides=(*row.overrides, *settings)), overrides)
        for row in rows
        for number, settings in enumerate(row.trials, 1)
    ]


def settled(rows: Sequence[Row], overrides: Sequence[str], folder: Path) -> tuple[list[Row], list[Row], list[Choice]]:
    """Return the rows with the settings that they chose, those whose trials are not all finished, and the choices."""
    decided: list[Row] = []
    waiting: list[Row] = []
    choices: list[Choice] = []
    for row in rows:
        choice = chosen(row, overrides, folder) if row.trials else None
        if choice is not None:
            settings = row.trials[choice.place]
            decided.append(with_settings(replace(row, overrides=(*row.overrides, *settings)), overrides))
            choices.append(choice)
        else:
            (waiting if row.trials else decided).append(row)
    return decided, waiting, choices


def chosen(row: Row, overrides: Sequence[str], folder: Path) -> Choice | None:
    """Return the row's trial with the best validation F1, the first of equal ones; None where one is not finished."""
    records = [trial.finished(folder / FOLDER, FIRST_SEED) for trial in trials_of([row], overrides)]
    scores = tuple(validation_f1(read(path)) for path in records if path is not None)
    return Choice(row, scores, scores.index(max(scores))) if len(scores) == len(records) else None


def validation_f1(record: RunRecord) -> float:
    """Return what a row may choose by: one clinic's training its own validation notes, others all; 0 of none."""
    entry = next((each for each in record["rounds"] if each["round"] == record["chosen_round"]), record["rounds"][-1])
    validation, clinic = entry["validation"], record["config"].get("only", {}).get("clinic", "")
    score = validation and (validation["by_clinic"].get(clinic) if clinic else validation["micro"])
    return (score["f1"] or 0.0) if score else 0.0


def adopt(choices: Sequence[Choice], decided: Sequence[Row], folder: Path) -> None:
    """Make the runs of chosen trials the rows' runs of the first seed; they have the same settings."""
    named = {row.name: row for row in decided}
    for choice in choices:
        row = named[choice.row.name]
        trial = replace(row, name=f"{row.name} {choice.place + 1}")
        path = trial.finished(folder / FOLDER, FIRST_SEED)
        if path is not None and row.finished(folder, FIRST_SEED) is None:
            target = row.folder(folder, FIRST_SEED) / path.parent.name
            if not target.exists():
                shutil.copytree(path.parent, target)


def unfinished_trials(rows: Sequence[Row], overrides: Sequence[str], folder: Path) -> list[tuple[Row, int]]:
    """Return the trials that have no record yet."""
    return unfinished(trials_of(rows, overrides), [FIRST_SEED], folder / FOLDER)


def budget_lines(rows: Sequence[Row], choices: Sequence[Choice]) -> Iterator[str]:
    """Yield what all rows were given alike: epochs and, where they choose, trials; and what each has chosen."""
    trained = [row for row in rows if row.settings and row.command in ("train", "simulate")]
    if not trained:
        return
    epochs = " or ".join(sorted({f"{_epochs(row):g}" for row in trained}))
    trials = sorted({len(row.trials) for row in trained})
    told = (
        f"{trials[0]} trials with seed {FIRST_SEED}, chosen by validation F1" if trials[0] else "one recipe, no trials"
    )
    yield f"Budget of each trained row: {epochs} epochs over its training notes; {told}."
    yield from (f"{choice.line}" for choice in choices)


def _epochs(row: Row) -> float:
    settings = row.settings
    return float(settings["rounds"] * settings["training"]["local_epochs"] / settings["rounds_per_epoch"])
