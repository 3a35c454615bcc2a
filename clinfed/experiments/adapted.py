"""An adapter as its user gives it, a run's folder or an adapter's: checked, and ready to be loaded onto its base."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed import fingerprints
from clinfed.adapters import folder as folders
from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.runs import record as records
from configs import Run
from configs.portable import unpacked

if TYPE_CHECKING:
    from clinfed.training.model import Tagger

RECORD = "record.json"
MUST_AGREE = ("base", "tokenizer", "labels")  # fingerprints that prediction depends on


@dataclass(frozen=True)
class Adapted:
    """An adapter with all that it needs. run: its base, adapter, task and training settings, and nothing else."""

    folder: Path
    run: Run
    settings: Mapping[str, Any]  # of configs.portable, but that the base of a run on this machine keeps its path
    codes: tuple[str, ...]
    fingerprints: Mapping[str, str]
    state: AdapterState
    record: records.RunRecord | None  # where the folder is a run's
    untrained: frozenset[int] = frozenset()  # numbers of the codes that prediction masks

    def tagger(self) -> "Tagger":
        """Return the model with this adapter and head. Raises: UserError where they do not fit the base."""
        from clinfed.adapters.weights import write_state
        from clinfed.training.model import build

        run = self.run
        tagger = build(run.base, run.adapter, run.task, len(self.codes), seed=run.seed, device=run.training.device)
        try:
            write_state(tagger, self.state)
        except ValueError as error:
            raise UserError(f"{self.folder}: does not fit its own settings: {error}; copy the folder again") from None
        return tagger


def open_adapter(path: Path, *, base_path: str = "") -> Adapted:
    """Return the adapter in a run's folder or in an adapter's own, its files checked against each other and its base.

    base_path: where the base's files are on this machine, if they are not where the adapter says.
    Raises: UserError, one line, for what is missing or does not fit.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected that of a run, or of an adapter that clinfed wrote")
    folder = path / "adapter" if (path / "adapter").is_dir() else path
    state = folders.load_state(folder)
    task, codes = folders.load_labels(folder)
    record = _record(folder, state)
    if record is None:
        settings, prints = folders.load_settings(folder)
    else:
        settings, prints = record["config"], record["fingerprints"]
    try:
        run = unpacked(settings, base_path=base_path)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    if run.options["task"] != task:
        raise UserError(f"{folder}: {folders.LABELS} is of task {task}, the settings are of task {run.options['task']}")
    adapted = Adapted(folder, run, settings, codes, prints, state, record, folders.load_untrained(folder))
    _check_fingerprints(adapted)
    return adapted


def refuse_without_mentions(adapted: Adapted) -> None:
    """Raise UserError unless the adapter finds mentions, which is what notes are predicted and adapted with."""
    if not adapted.run.task.has_spans:
        finds = adapted.run.task.counts.unit
        raise UserError(
            f"{adapted.folder}: trained for task={adapted.run.options['task']} ({finds}), expected an adapter that "
            "finds mentions; train one with task=jerl_factored or task=jerl"
        )


def _record(folder: Path, state: AdapterState) -> records.RunRecord | None:
    """Return the record of the run whose adapter this is, None where there is none."""
    path = folder.parent / RECORD
    if folder.name != "adapter" or not path.is_file():
        return None
    record = records.read(path)
    if record["adapter_sha256"] != state.sha256():
        found, expected = state.sha256()[:16], record["adapter_sha256"][:16]
        raise UserError(f"{folder}: adapter {found}, but the record beside it is of {expected}; copy the run again")
    return record


def _check_fingerprints(adapted: Adapted) -> None:
    """Raise UserError unless base, tokenizer and codes are those that the adapter was trained with."""
    found = fingerprints.of_use(adapted.run, adapted.codes)
    for name in MUST_AGREE:
        expected = adapted.fingerprints.get(name, "missing")
        if found[name] != expected:
            remedy = "copy the folder again" if name == "labels" else "give the base that it was trained on with --base"
            raise UserError(
                f"{adapted.folder}: trained with {name} {expected[:16]}, found {found[name][:16]} "
                f"(base {adapted.run.base.public_name}); {remedy}"
            )
