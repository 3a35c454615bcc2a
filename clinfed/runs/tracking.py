"""Trackers: a run's rounds in TensorBoard or MLflow while it goes on; off by default, files on this machine only.

They are given what the run record holds (scores, seconds, bytes), never more.

    tracker = tracking.start("tensorboard", run_folder, home, {"rounds": "5"})
    tracker.add_round(entry)  # of the record, as soon as it is known
    tracker.finish(record)
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from clinfed.errors import UserError
from clinfed.evaluation.scores import Evaluation, Measures
from clinfed.runs.record import RoundRecord, RunRecord

OFF = "off"
NEEDED = {"tensorboard": "tensorboard", "mlflow": "mlflow"}  # option -> module
INSTALL = {"tensorboard": "pip install 'clinfed[tracking]'", "mlflow": "pip install mlflow-skinny"}


class Tracker(Protocol):
    """Takes rounds as they come."""

    def add_round(self, entry: RoundRecord) -> None:
        """Write one round down."""

    def finish(self, record: RunRecord) -> None:
        """Write the test scores down, and close."""


def check(name: str) -> None:
    """Raise UserError where the tracker is unknown or its package is not installed."""
    if name != OFF and name not in NEEDED:
        raise UserError(f"tracking={name}: no such tracker; choose {OFF}, {' or '.join(NEEDED)}")
    if name != OFF and find_spec(NEEDED[name]) is None:
        raise UserError(f"tracking={name}: the package {NEEDED[name]} is not installed here; run {INSTALL[name]}")


def start(name: str, run_folder: Path, home: Path, settings: Mapping[str, str]) -> Tracker:
    """Return the tracker of a run. settings: what MLflow may filter runs by. Raises: UserError as check does."""
    check(name)
    if name == "tensorboard":
        return TensorBoard(run_folder / "tensorboard")
    if name == "mlflow":
        return MLflow(home / "mlflow", run_folder.name, settings)
    return Off()


class Off:
    """No tracker."""

    def add_round(self, entry: RoundRecord) -> None:
        """Do nothing."""

    def finish(self, record: RunRecord) -> None:
        """Do nothing."""


class TensorBoard:
    """Event files in the run's folder: `tensorboard --logdir $CLINFED_HOME/runs` shows all runs."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def add_round(self, entry: RoundRecord) -> None:
        """Write one round's scalars, at once on disk."""
        for name, value in scalars(entry):
            self._writer.add_scalar(name, value, entry["round"])
        self._writer.flush()

    def finish(self, record: RunRecord) -> None:
        """Write the test scores at the chosen round, and close."""
        for name, value in scalars_on_test(record):
            self._writer.add_scalar(name, value, record["chosen_round"])
        self._writer.close()


class MLflow:
    """A file store: `mlflow ui --backend-store-uri $CLINFED_HOME/mlflow` shows all runs."""

    def __init__(self, store: Path, run: str, settings: Mapping[str, str]) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the import: it would call home
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # else it wants a database; a folder is enough here
        from mlflow import MlflowClient  # type: ignore[import-not-found, unused-ignore]  # as its user has it

        store.mkdir(parents=True, exist_ok=True)
        self._client: Any = MlflowClient(tracking_uri=store.as_uri())
        found = self._client.get_experiment_by_name("clinfed")
        experiment = found.experiment_id if found else self._client.create_experiment("clinfed")
        self._run = self._client.create_run(experiment, run_name=run).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def add_round(self, entry: RoundRecord) -> None:
        """Write one round's scalars."""
        for name, value in scalars(entry):
            self._client.log_metric(self._run, name, value, step=entry["round"])

    def finish(self, record: RunRecord) -> None:
        """Write the test scores at the chosen round, and close."""
        for name, value in scalars_on_test(record):
            self._client.log_metric(self._run, name, value, step=record["chosen_round"])
        self._client.set_terminated(self._run)


def scalars(entry: RoundRecord) -> Iterator[tuple[str, float]]:
    """Yield what one round of a record holds, by name; names of clinics and languages stand in them."""
    yield "loss", entry["loss"]
    for clinic, each in entry["clinics"].items():
        yield f"loss/{clinic}", each["loss"]
    for where, evaluation in (("validation", entry["validation"]), ("public", entry.get("public"))):
        if evaluation is not None:
            yield from _defined(_scores(where, evaluation))
    for name in ("seconds", "aggregate_s", "bytes_up", "bytes_down"):
        yield f"cost/{name}", float(entry[name])


def scalars_on_test(record: RunRecord) -> Iterator[tuple[str, float]]:
    """Yield the test scores against all gold, by system."""
    for system, golds in record["test"].items():
        yield from _defined(_scores(f"test/{system}", golds["all"]))


def _defined(named: Iterable[tuple[str, float | None]]) -> Iterator[tuple[str, float]]:
    """Yield what has a value: an undefined score is no point of a curve."""
    return ((name, value) for name, value in named if value is not None)


def _scores(where: str, evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    if "measures" in evaluation:
        measured = cast(Measures, evaluation)
        yield from (
            (f"{where}/{name}", None if value is None else float(value)) for name, value in measured["measures"].items()
        )
        return
    for name in ("precision", "recall", "f1"):
        yield f"{where}/{name}", evaluation["micro"][name]
    yield f"{where}/macro_f1", evaluation["macro"]["gold_or_predicted"]
    for kind in ("by_language", "by_clinic"):
        for name, each in evaluation[kind].items():
            yield f"{where}/{kind}/{name or 'none'}", each["f1"]
