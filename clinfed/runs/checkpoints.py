"""A run on disk after each round, whole or not at all: what it resumes from when its server was killed.

RUN/state/round-NNNN holds the global adapter, the strategy's own tensors and the best adapter as safetensors. Its
state.json has the settings, the fingerprints, the history, and the round that was not validated yet. It holds no state
of a random generator: every draw follows from the run's seed, a round or epoch number, and a clinic's name.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.protocol import Answer, Refused, Traffic
from clinfed.runs.state import Best, Round, RunState
from configs import differing, value_of
from configs.migrations import completed
from strategies.base import ServerState

FOLDER = "state"  # of a run's folder
STATE = "state.json"
# What may differ on resuming, because it changes no result: for how long and how many clinics the server waits, and
# where the list of codes lies. Its content has a fingerprint, which must be the checkpoint's.
FREE = ("resume", "backend", "wait_for_clients.", "round.quorum", "round.deadline_s", "corpus.labels")
ADAPTER, BEST = "adapter", "best"  # files; a strategy's own tensors are in memory-NAME
_ROUND_KEYS = {"number": "round_index", "passes": "epochs"}  # as version 0.1 called them


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on. recorded: what its recorder has collected, as plain values."""

    run_state: RunState
    config: Mapping[str, Any]  # the resolved run
    fingerprints: Mapping[str, str]
    recorded: Mapping[str, Any]


def new_run_key() -> str:
    """Return a name for a new run, under which the clinics keep their states."""
    return secrets.token_hex(16)


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write folder/round-NNNN and remove the one before; a reader never sees half of one, whenever this is killed."""
    from safetensors.numpy import save_file

    server = checkpoint.run_state.server
    target, partial = folder / f"round-{server.round:04d}", folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    states = _states(checkpoint.run_state)
    for name, state in states.items():
        save_file(dict(state), partial / f"{name}.safetensors")
    described = _described(checkpoint) | {"sha256": {name: state.sha256() for name, state in states.items()}}
    (partial / STATE).write_text(json.dumps(described, indent=1), encoding="utf-8")
    for path in [*partial.iterdir(), partial]:
        _flush(path)
    partial.rename(target)
    _flush(folder)
    for old in folder.glob("round-*"):
        if old != target:
            shutil.rmtree(old)
    return target


def load(folder: Path) -> Checkpoint:
    """Return the newest checkpoint below folder. Raises: UserError where there is none, or it is not what was saved."""
    from safetensors.numpy import load

    found = sorted(path.parent for path in folder.glob(f"round-*/{STATE}"))
    if not found:
        raise UserError(f"{folder}: no checkpoint; a run can be resumed once its first round is over")
    try:
        described = json.loads((found[-1] / STATE).read_text(encoding="utf-8"))
        states = {
            name: AdapterState(load((found[-1] / f"{name}.safetensors").read_bytes())) for name in described["sha256"]
        }
        if {name: state.sha256() for name, state in states.items()} != described["sha256"]:
            raise ValueError("other tensors")
        run_state = _run_state(described, states)
        return Checkpoint(run_state, completed(described["config"]), described["fingerprints"], described["recorded"])
    except Exception as error:  # json's, safetensors' and ours: whatever a damaged file brings about
        raise UserError(f"{found[-1]}: damaged checkpoint ({type(error).__name__}); start the run anew") from None


def find(given: Path, runs: Path) -> Path:
    """Return the folder of the run that is meant by its folder, its record, its state, or its id below runs.

    Raises: UserError where there is no such run, or it is complete.
    """
    for path in (given, runs / given.name):
        path = path.parent if path.name in (FOLDER, "record.json") else path
        if (path / "record.json").is_file():
            raise UserError(f"resume={given}: this run is complete; its record is {path / 'record.json'}")
        if (path / FOLDER).is_dir():
            return path
    raise UserError(f"resume={given}: no run to resume; give its folder or its id (a folder of {runs})")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder until the end of this process, also a violent one.

    Raises: UserError where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder.parent}: this run is still in progress; wait for its end, or stop it") from None
        yield


def refuse_other_settings(now: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise UserError that names the first setting of a resumed run that is not the checkpoint's, but for FREE."""
    # An option brings keys of its own, which the other side lacks: it is named first.
    for key in sorted(differing(now, saved), key=lambda key: not key.startswith("options.")):
        if not key.startswith(FREE):
            ours, theirs, named = value_of(now, key), value_of(saved, key), key.removeprefix("options.")
            raise UserError(
                f"resume: {named} is {ours} now and {theirs} in the checkpoint; give {named}={theirs} again "
                "(`clinfed simulate` reads it there by itself), or start a new run"
            )


def _states(run_state: RunState) -> dict[str, AdapterState]:
    """Return file name -> tensors."""
    memory = {f"memory-{name}": state for name, state in run_state.server.memory.items()}
    best = {BEST: run_state.best.adapter} if run_state.best else {}
    return {ADAPTER: run_state.server.adapter, **memory, **best}


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    run_state = checkpoint.run_state
    return {
        "round": run_state.server.round,
        "open": _plain(run_state.open) if run_state.open else None,
        "best": {key: getattr(run_state.best, key) for key in ("round", "score", "over")} if run_state.best else None,
        "run_key": run_state.run_key,
        "accepted": dict(run_state.accepted),
        "usual": run_state.usual,
        "config": checkpoint.config,
        "fingerprints": checkpoint.fingerprints,
        "recorded": checkpoint.recorded,
    }


def _run_state(described: Mapping[str, Any], states: Mapping[str, AdapterState]) -> RunState:
    memory = {name.removeprefix("memory-"): state for name, state in states.items() if name.startswith("memory-")}
    best, opened = described["best"], described["open"]
    return RunState(
        ServerState(states[ADAPTER], memory, int(described["round"])),
        _round(opened) if opened else None,
        _best(best, states[BEST]) if best else None,
        described.get("run_key") or new_run_key(),  # before 0.2 clinics kept no states
        described.get("accepted", {}),
        described.get("usual", 0.0),  # as in a first round
    )


def _best(best: Mapping[str, Any], adapter: AdapterState) -> Best:
    return Best(best["round"], best["score" if "score" in best else "f1"], adapter, best.get("over", ""))  # f1: of 0.1


def _plain(opened: Round) -> dict[str, Any]:
    """Return a round without validation as plain values; of an answer only what the record needs."""
    trained = [
        {
            "clinic": answer.clinic,
            "identity": {"worker": str(answer.identity["worker"])},
            "report": dict(answer.report),
            "traffic": asdict(answer.traffic),
        }
        for answer in opened.trained
    ]
    return asdict(replace(opened, trained=[])) | {"trained": trained}


def _round(plain: Mapping[str, Any]) -> Round:
    plain = {_ROUND_KEYS.get(key, key): value for key, value in plain.items()}
    trained = [Answer(**{**each, "traffic": Traffic(**each["traffic"])}) for each in plain["trained"]]
    refused = [Refused(**each) for each in plain["refused"]]
    return Round(**{**plain, "trained": trained, "refused": refused})


def _flush(path: Path) -> None:
    """Wait until the disk has it: a rename may otherwise overtake the bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
