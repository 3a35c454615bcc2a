"""The studies that `clinfed sweep` keeps, read for a report."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed.errors import UserError
from clinfed.evaluation.report.sweep import Searched, SweepReport, Trial
from clinfed.experiments.gathered import shown_value

if TYPE_CHECKING:
    from optuna import Study

OVERRIDES = "overrides"  # what a study keeps of the call that began it
SEARCHED = "searched"


def study_files(place: Path) -> list[Path]:
    """Return the studies in a folder of sweeps, or the one that a file is; none where there are none."""
    files = [place] if place.is_file() else sorted(place.glob("*.log"))
    return [file for file in files if _is_study(file)]


def _is_study(file: Path) -> bool:
    """Return whether a file is a journal that Optuna writes: JSON objects, a line each, with an operation."""
    try:
        with file.open(encoding="utf-8") as lines:
            return file.suffix == ".log" and "op_code" in json.loads(lines.readline())
    except (OSError, ValueError, TypeError):
        return False


def sweep_report(files: Sequence[Path]) -> SweepReport:
    """Return the report of all studies that have a finished trial. Raises: UserError where none has."""
    studies = [study for file in files for study in _studies(file) if _trials(study)]
    if not studies:
        raise UserError(f"{files[0]}: the sweep has no finished trial; run `clinfed sweep` until it has one")
    given = [[_shown(each) for each in study.user_attrs.get(OVERRIDES, [])] for study in studies]
    shared = [each for each in given[0] if all(each in other for other in given)]
    names = [" ".join(each for each in own if each not in shared) or "as given" for own in given]
    times = Counter(names)
    rows = []
    for name, study in zip(names, studies, strict=True):
        told = name if times[name] == 1 else f"{name} ({_searched(study)}, study {study.study_name[:8]})"
        rows.append(Searched(told, _trials(study)))
    return SweepReport(rows, " ".join(shared))


def _studies(file: Path) -> "list[Study]":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(file)))
    return [optuna.load_study(study_name=each.study_name, storage=storage) for each in storage.get_all_studies()]


def _trials(study: "Study") -> list[Trial]:
    from optuna.trial import TrialState

    return [
        Trial(
            trial.number + 1,
            float(trial.value or 0.0),
            {key: _shown_setting(value) for key, value in trial.params.items()},
            trial.duration.total_seconds() if trial.duration else 0.0,
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ]


def _searched(study: "Study") -> str:
    keys = study.user_attrs.get(SEARCHED) or sorted({key for trial in study.trials for key in trial.params})
    return f"searches {', '.join(keys)}"


def _shown(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}={shown_value(value)}"


def _shown_setting(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown_value(str(value))
