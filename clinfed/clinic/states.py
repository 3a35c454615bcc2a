"""A clinic's state on its own disk: what its strategy keeps from one round to the next, and never sends.

CLINIC/state/RUN-KEY/CLINIC-ROUND.safetensors. Of each clinic two are kept: the one of its last update that the
coordinator has accepted, from which a round begins, and the one that the round wrote. The coordinator says in each
question which is the first, and its checkpoint remembers it: killed at any moment, between a clinic's write and the
checkpoint too, a run finds the state again that the round began with. An update that was refused or came too late
leaves no trace either.
"""

import hashlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.errors import UserError
from clinfed.home import PRIVATE_MODE, clinic_folder
from strategies.base import ClientState

FOLDER = "state"
UNUSED_S = 30 * 24 * 3600.0  # a run that has not written for so long is not resumed any more
RUN_KEY = re.compile(r"[0-9a-f]{32}")  # it comes over the wire, and becomes a folder's name


def prefix_of(clinic: str) -> str:
    """Return how the files of a clinic begin."""
    return f"{hashlib.sha256(clinic.encode()).hexdigest()[:16]}-"


@dataclass(frozen=True)
class Place:
    """Whose state: run_key is the run's, drawn once and kept through all resumptions; fingerprint the run's too."""

    run_key: str
    clinic: str
    fingerprint: str

    def __post_init__(self) -> None:
        if not RUN_KEY.fullmatch(self.run_key):
            raise ValueError("the run's key is not 32 hexadecimal digits")

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return clinic_folder(FOLDER) / self.run_key

    @property
    def prefix(self) -> str:
        """Return how the clinic's files begin; its name may hold what no file's may."""
        return prefix_of(self.clinic)

    def path(self, round_index: int) -> Path:
        """Return where the state of a round stands."""
        return self.folder / f"{self.prefix}{round_index:06d}.safetensors"


def load(place: Place, round_index: int) -> ClientState | None:
    """Return the state that the clinic wrote in a round; None where it has none, as after a new disk.

    Raises: UserError for one of another run, or that cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = place.path(round_index)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            described = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        flat = Payload.of(AdapterState(tensors))
    except (SafetensorError, OSError, ValueError):
        raise UserError(f"{path}: damaged state; remove it, and the clinic starts with a new one") from None
    if (found := described.get("fingerprint", "none")) != place.fingerprint:
        raise UserError(
            f"{path}: this state belongs to another run: its fingerprint is {found[:16]}, this run's "
            f"{place.fingerprint[:16]}; remove it, and the clinic starts with a new one"
        )
    return ClientState(flat.extra, round_index)


def save(place: Place, state: ClientState, *, before: int) -> None:
    """Write a round's state, whole or not at all, and remove all of the clinic's but it and the one of `before`."""
    from safetensors.numpy import save as to_bytes

    folder = place.folder
    if not folder.is_dir():
        remove_old(folder.parent)
        folder.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    flat = Payload(AdapterState({}), state.memory).flat
    data = to_bytes(dict(flat), {"fingerprint": place.fingerprint, "round": str(state.round)})
    target = place.path(state.round)
    partial = target.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(target)
    _flush(folder)
    for path in folder.glob(f"{place.prefix}*"):
        if path not in (target, place.path(before)):
            path.unlink(missing_ok=True)


def remove_old(states: Path) -> None:
    """Remove the states of runs that have not written for long."""
    for folder in states.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > UNUSED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Wait until the disk has the folder's new name: a rename is not on it before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
