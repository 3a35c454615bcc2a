"""Encoded notes: sub-words, tags and character ranges as an Arrow cache, so that no process tokenises twice.

The cache holds a clinic's notes as numbers: it is private to the clinic (mode 0700) and never leaves it.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.corpus.note import Note, Span
from clinfed.tasks.alignment import subwords_of, windows_of
from clinfed.tasks.bio import IGNORED, OUTSIDE, tags_of, words_of

if TYPE_CHECKING:
    from datasets import Dataset

UNUSED_S = 30 * 24 * 3600.0  # a cache can be turned back into text: it goes once no run has used it for so long
UNFINISHED_S = 24 * 3600.0  # of a killed process; encoding takes minutes
FORMAT = 3  # of the cache; another number makes old caches unreadable, never wrong


@dataclass(frozen=True)
class Encoded:
    """Notes as rows of `notes` and their windows as rows of `windows`.

    notes: id, starts and ends (of words).
    windows: note (row number), input_ids, tags (-100 where not judged), words (of the judged positions), hints (tags of
    what a lexicon found, 0 where nothing).
    lost: gold spans that tags cannot hold, counted by reason.
    """

    notes: "Dataset"
    windows: "Dataset"
    lost: Counter[str]

    @cached_property
    def lengths(self) -> list[int]:
        """Return the number of sub-words of each window."""
        return [len(ids) for ids in self.windows["input_ids"]]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Return the windows as lists of plain integers, read once: batches pick from memory."""
        return self.windows.to_list()

    @cached_property
    def tags(self) -> set[int]:
        """Return the numbers of all tags that some judged word has."""
        return {tag for row in self.rows for tag in row["tags"]} - {IGNORED}

    def __len__(self) -> int:
        return len(self.notes)


Hint = Callable[[Note], Sequence[Span]]  # what a lexicon finds in a note


def encode_notes(
    notes: Sequence[Note],
    tokenizer: Any,
    codes: Sequence[str],
    *,
    window: int,
    stride: int,
    cache: Path,
    hint: Hint = lambda note: (),
    hint_key: str = "",
) -> Encoded:
    """Return the notes encoded, from the cache where some process has done it before.

    Notes are kept in the order of their ids. The cache's key covers notes, tokenizer, codes, window and hint_key.
    """
    from filelock import FileLock

    notes = sorted(notes, key=lambda note: note.id)
    folder = cache / _key(notes, tokenizer, codes, window, stride, hint_key)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(f"{folder}.lock"):
        if new := not folder.is_dir():
            _write(notes, tokenizer, codes, window, stride, folder, hint)
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


def _key(notes: Sequence[Note], tokenizer: Any, codes: Sequence[str], window: int, stride: int, hint_key: str) -> str:
    digest = hashlib.sha256()
    parts = [FORMAT, tokenizer.backend_tokenizer.to_str(), list(codes), window, stride, hint_key]
    digest.update(json.dumps(parts).encode())
    for note in notes:
        digest.update(repr((note.id, note.unit, note.language, note.text, note.spans)).encode())
    return digest.hexdigest()[:32]


def _write(
    notes: Sequence[Note],
    tokenizer: Any,
    codes: Sequence[str],
    window: int,
    stride: int,
    folder: Path,
    hint: Hint,
) -> None:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    rows = rows_of(notes, tokenizer, codes, window=window, stride=stride, hint=hint)
    unfinished = folder.with_suffix(f".{os.getpid()}")
    Dataset.from_list(rows.notes).save_to_disk(unfinished / "notes")
    Dataset.from_list(rows.windows).save_to_disk(unfinished / "windows")
    (unfinished / "lost.json").write_text(json.dumps(rows.lost))
    unfinished.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)  # atomic: a killed process leaves no half-written cache


@dataclass(frozen=True)
class Rows:
    """Notes and their windows as plain rows, with the keys that Encoded lists."""

    notes: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    lost: Counter[str]


def rows_of(
    notes: Iterable[Note],
    tokenizer: Any,
    codes: Sequence[str],
    *,
    window: int,
    stride: int,
    hint: Hint = lambda note: (),
) -> Rows:
    """Return the notes encoded in memory, in the order given: for prediction, which reads them once."""
    code_index = {code: i for i, code in enumerate(codes)}
    rows = Rows([], [], Counter())
    for note in notes:
        words = words_of(note.text)
        tags, _, missing = tags_of(words, note.spans, code_index)
        hints, _, _ = tags_of(words, hint(note), code_index)
        rows.lost.update(missing)
        for each in windows_of(
            subwords_of(tokenizer, note.text, words),
            cls_id=tokenizer.cls_token_id,
            sep_id=tokenizer.sep_token_id,
            size=window,
            stride=stride,
        ):
            window_tags = [IGNORED] * len(each.input_ids)
            window_hints = [OUTSIDE] * len(each.input_ids)
            for position, word in zip(each.positions, each.words, strict=True):
                window_tags[position], window_hints[position] = tags[word], hints[word]
            row = {"note": len(rows.notes), "input_ids": each.input_ids, "tags": window_tags, "hints": window_hints}
            rows.windows.append(row | {"words": each.words})
        starts, ends = [start for start, _ in words], [end for _, end in words]
        rows.notes.append({"id": note.id, "starts": starts, "ends": ends})
    return rows


def _read(folder: Path) -> Encoded:
    from datasets import load_from_disk

    lost = Counter(json.loads((folder / "lost.json").read_text()))
    return Encoded(load_from_disk(str(folder / "notes")), load_from_disk(str(folder / "windows")), lost)
