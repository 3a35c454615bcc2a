"""What a clinic's folder keeps that was made of notes: for how long, and how it is forgotten.

    prune()                # what is too old or too much, oldest first; at the start of each run
    removed = forget()     # all of it, or with clinic="north" other clinics' states stay

A cache holds all notes of a split, so whoever forgets one patient removes whole caches. The next run makes them again
from the notes as they are then. The ledger and the site's secret hold no patient, and stay.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clinfed.clinic.states import FOLDER, prefix_of
from clinfed.home import clinic_folder

DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Limits:
    """How long and how much a folder keeps. locked: who uses an entry holds ENTRY.lock meanwhile."""

    age_s: float
    size_bytes: int
    locked: bool = False


KEPT = {
    "errors": Limits(90 * DAY_S, 50_000_000),  # texts of exceptions, which may quote a note; of months of trouble 1 MB
    "artefacts": Limits(7 * DAY_S, 5_000_000_000),  # of simulated clinics; the run's command takes them at its end
    "encoded": Limits(30 * DAY_S, 50_000_000_000, locked=True),
    "embeddings": Limits(30 * DAY_S, 50_000_000_000, locked=True),
}
WORKER = "worker"  # its log names runs and errors' classes; a socket in use lies beside it
LOCK = ".lock"


def prune(now: float | None = None) -> list[Path]:
    """Remove what is older than KEPT says, and the oldest while there is more; return what was removed."""
    now = time.time() if now is None else now
    removed = []
    for name, limits in KEPT.items():
        entries = sorted(_entries(clinic_folder(name)), key=lambda entry: entry[1], reverse=True)
        held = 0
        for path, changed, size in entries:  # the newest first
            held += size
            if now - changed > limits.age_s or held > limits.size_bytes:
                _remove(path, locked=limits.locked)
                removed.append(path)
    return removed


def forget(clinic: str = "") -> dict[str, int]:
    """Remove all that was made of notes; return folder -> entries removed. clinic: other clinics' states stay."""
    removed = {}
    for name, limits in KEPT.items():
        paths = [path for path, _, _ in _entries(clinic_folder(name))]
        for path in paths:
            _remove(path, locked=limits.locked)
        removed[name] = len(paths)
    states = [path for path in clinic_folder(FOLDER).rglob("*") if path.is_file()]
    states = [path for path in states if not clinic or path.name.startswith(prefix_of(clinic))]
    logs = list(clinic_folder(WORKER).glob("*.log*"))
    for path in [*states, *logs]:
        path.unlink(missing_ok=True)
    return {**removed, FOLDER: len(states), WORKER: len(logs)}


def _entries(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Yield each file or folder with the time of its last use and its size."""
    for path in folder.iterdir():
        if path.suffix == LOCK:
            continue
        try:
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            yield path, path.stat().st_mtime, sum(file.stat().st_size for file in files if file.is_file())
        except FileNotFoundError:  # another process has removed it
            continue


def _remove(path: Path, *, locked: bool) -> None:
    if locked:
        from filelock import FileLock

        with FileLock(f"{path}{LOCK}"):
            _remove(path, locked=False)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
