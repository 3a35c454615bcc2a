"""Encoded notes: what a task makes of notes, as an Arrow cache, so that no process tokenises twice.

The cache holds a clinic's notes as numbers: it is private to the clinic (mode 0700) and never leaves it.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clinfed.corpus.note import Note
from clinfed.tasks.base import Examples, Gazetteer, Row, Task, no_feature

if TYPE_CHECKING:
    from datasets import Dataset

UNUSED_S = 30 * 24 * 3600.0  # a cache can be turned back into text: it goes once no run has used it for so long
UNFINISHED_S = 24 * 3600.0  # of a killed process; encoding takes minutes
FORMAT = 5  # of the cache; another number makes old caches unreadable, never wrong


class TrainingExamples(Protocol):
    """What the training loop sees of notes."""

    @property
    def lengths(self) -> list[int]:
        """Return the number of sub-words of each example."""

    @property
    def rows(self) -> list[Row]:
        """Return the examples."""

    def __len__(self) -> int:
        """Return how many notes there are."""


@dataclass(frozen=True)
class Encoded:
    """A task's examples (clinfed.tasks.base.Examples) as they lie on disk.

    unrepresentable: gold that the task cannot represent, counted by reason.
    """

    notes: "Dataset"
    windows: "Dataset"
    unrepresentable: Counter[str]
    key: str  # of the cache

    @cached_property
    def lengths(self) -> list[int]:
        """Return the number of sub-words of each example."""
        return [len(ids) for ids in self.windows["input_ids"]]

    @cached_property
    def rows(self) -> list[Row]:
        """Return the examples as lists of plain numbers, read once: batches pick from memory."""
        rows: list[Row] = self.windows.to_list()
        return rows

    def __len__(self) -> int:
        return len(self.notes)


@dataclass(frozen=True)
class Gathered:
    """Several clinics' examples as those of one place, in memory."""

    parts: Sequence[Encoded]

    @cached_property
    def lengths(self) -> list[int]:
        """Return the number of sub-words of each example."""
        return [length for part in self.parts for length in part.lengths]

    @cached_property
    def rows(self) -> list[Row]:
        """Return the examples."""
        return [row for part in self.parts for row in part.rows]

    def __len__(self) -> int:
        return sum(map(len, self.parts))


def encode_notes(
    task: Task,
    notes: Sequence[Note],
    tokenizer: Any,
    codes: Sequence[str],
    *,
    window: int,
    stride: int,
    cache: Path,
    feature: Gazetteer = no_feature,
    feature_key: str = "",
) -> Encoded:
    """Return the notes as the task's examples, from the cache where some process has made them before.

    Notes are kept in the order of their ids. The cache's key covers the task's encoding, notes, tokenizer, codes,
    window and feature_key.
    """
    from filelock import FileLock

    notes = sorted(notes, key=lambda note: note.id)
    folder = cache / _key(task, notes, tokenizer, codes, window, stride, feature_key)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(f"{folder}.lock"):
        if new := not folder.is_dir():
            _write(task.encode(notes, tokenizer, codes, window=window, stride=stride, feature=feature), folder)
        os.utime(folder)  # now it was used
    if new:  # with no lock held: two processes could wait for each other's
        _remove_old(cache)
    return _read(folder)


def _remove_old(cache: Path) -> None:
    """Remove what no run has used for long, and what killed processes have left unfinished (KEY.PID)."""
    from filelock import FileLock

    def is_old(folder: Path) -> bool:
        try:
            age_s = time.time() - folder.stat().st_mtime
        except FileNotFoundError:  # another process has finished it, or removed it
            return False
        return folder.is_dir() and age_s > (UNFINISHED_S if folder.suffix else UNUSED_S)

    for folder in filter(is_old, list(cache.iterdir())):
        with FileLock(cache / f"{folder.stem}.lock"):
            if is_old(folder):  # still: who uses a cache holds its lock meanwhile
                shutil.rmtree(folder, ignore_errors=True)


def _key(
    task: Task,
    notes: Sequence[Note],
    tokenizer: Any,
    codes: Sequence[str],
    window: int,
    stride: int,
    feature_key: str,
) -> str:
    digest = hashlib.sha256()
    parts = [FORMAT, task.encoding, tokenizer.backend_tokenizer.to_str(), list(codes), window, stride, feature_key]
    digest.update(json.dumps(parts).encode())
    for note in notes:
        digest.update(repr((note.id, note.unit, note.language, note.text, note.spans)).encode())
    return digest.hexdigest()[:32]


def _write(examples: Examples, folder: Path) -> None:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    unfinished = folder.with_suffix(f".{os.getpid()}")
    Dataset.from_list(examples.notes).save_to_disk(unfinished / "notes")
    Dataset.from_list(examples.rows).save_to_disk(unfinished / "windows")
    (unfinished / "unrepresentable.json").write_text(json.dumps(examples.unrepresentable))
    unfinished.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)  # atomic: a killed process leaves no half-written cache


def _read(folder: Path) -> Encoded:
    from datasets import load_from_disk

    unrepresentable = Counter(json.loads((folder / "unrepresentable.json").read_text()))
    return Encoded(
        load_from_disk(str(folder / "notes")), load_from_disk(str(folder / "windows")), unrepresentable, folder.name
    )
