"""The file of corrections beside the notes: reviewed notes as JSONL, which training reads (`corpus=jsonl`)."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clinfed.corpus import predictions, walking
from clinfed.corpus.note import Note
from clinfed.corpus.readers import jsonl
from clinfed.corpus.writers import write_jsonl
from clinfed.errors import UserError
from clinfed.review.corrections import RefusedError

Seen = tuple[tuple[str, int, int, int], ...]

SUFFIX = ".corrections.jsonl"
AGAIN = "start clinfed review again"


def beside(source: Path) -> Path:
    """Return where the corrections of notes are kept: notes.jsonl -> notes.corrections.jsonl, folder -> beside it."""
    place = _whole(source)
    return place.with_name((place.name if place.is_dir() else place.stem) + SUFFIX)


@dataclass
class CorrectionsFile:
    """The file, which is only written over while it is what was read or written here, and the notes are as they were.

    path: of the corrections; source: of the notes; seen and read: what both were.
    """

    path: Path
    source: Path
    seen: Seen = field(init=False)
    read: str = field(init=False)

    def __post_init__(self) -> None:
        place, notes = self.path.resolve(), _whole(self.source).resolve()
        if place == notes or notes in place.parents:
            expected = "a file of its own outside of them; name it with --corrections"
            raise UserError(f"{self.path}: the file of corrections is, or lies in, the notes; expected {expected}")
        self.seen, self.read = _seen(self.source), _digest(self.path)

    def notes(self, given: Sequence[Note]) -> list[Note]:
        """Return the notes that were reviewed before. Raises: UserError where they are not corrections of these."""
        if not self.path.exists():
            return []
        found = list(jsonl.read(self.path, keep_fragments=True))
        if unknown := len({note.id for note in found} - {note.id for note in given}):
            expected = "corrections of these notes; name another file with --corrections, or move this one away"
            raise UserError(f"{self.path}: {unknown:,} of {len(found):,} notes are not in {self.source}; {expected}")
        predictions.from_notes(self.path, given, found)
        return found

    def write(self, notes: Iterable[Note]) -> None:
        """Write the reviewed notes, or remove the file where there is none.

        Raises: RefusedError where the file or the notes have changed since; OSError.
        """
        with _alone(self.path.parent):
            if _digest(self.path) != self.read:
                raise RefusedError(f"{self.path}: changed by another program; nothing was saved; {AGAIN}", 409)
            if _seen(self.source) != self.seen:
                raise RefusedError(f"{self.source}: the notes have changed; nothing was saved; {AGAIN}", 409)
            kept = list(notes)
            if kept:
                write_jsonl(kept, self.path)
            else:
                self.path.unlink(missing_ok=True)
            self.read = _digest(self.path)


def _whole(source: Path) -> Path:
    """Return the file or folder that holds all of the notes: of a table of CodiEsp its folder, with the texts."""
    place = source if source.name else source.resolve()
    return place.parent.resolve() if place.suffix.lower() == ".tsv" else place


def _seen(source: Path) -> Seen:
    """Return name, size, time of the last change and number of each file of the notes."""
    place = _whole(source)
    files = walking.listing(place).files if place.is_dir() else sorted({place, *_texts(place)})
    return tuple(_state(file) for file in files)


def _texts(file: Path) -> list[Path]:
    """Return both files of a note of BRAT's where one of them is given."""
    both = (".txt", ".ann")
    return [file.with_suffix(suffix) for suffix in both] if file.suffix.lower() in both else []


def _state(file: Path) -> tuple[str, int, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return str(file), -1, -1, -1
    return str(file), found.st_size, found.st_mtime_ns, found.st_ino


def _digest(file: Path) -> str:
    """Return a hash of what a file holds, "" where there is none."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other pages from writing in a folder meanwhile."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
