"""Which notes train, validate and test: by patient, decided by a hash, so that every side agrees without talking."""

import hashlib
from collections.abc import Iterable
from typing import Literal, get_args

from clinfed.corpus.note import Note

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

TRAIN_SHARE = 0.7
WHOLE_TRAIN = "whole train"  # an official split: training notes beside an official validation part
VALIDATION_SHARE = 0.1  # of all notes; where there is an official train split, of that


def hashed_share(purpose: str, key: str) -> float:
    """Return a number in [0, 1) that depends on purpose and key only, uniform over keys.

    The purpose keeps two decisions about one key independent of each other.
    """
    digest = hashlib.sha256(f"{purpose}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53  # 53 bits are what a float holds, so 1.0 cannot come out


def split_of(note: Note) -> Split:
    """Return the note's split: the official one, else 70/10/20 by a hash of its patient (of its id where none).

    An official "train" gives 10% of its patients to "validation"; official "validation" and "test" stay as they are,
    and so does a train part beside an official validation part (WHOLE_TRAIN).
    """
    if note.split == WHOLE_TRAIN:
        return "train"
    if note.split == "validation" or note.split == "test":
        return note.split  # type: ignore[return-value]  # mypy does not narrow str to Literal
    share = hashed_share("split", note.unit)
    if note.split == "train":
        return "validation" if share < VALIDATION_SHARE else "train"
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"


def training_slice(notes: Iterable[Note], fraction: float) -> list[Note]:
    """Return about this fraction of the notes, by a hash of the id: a smaller slice lies inside every larger one.

    Units: fraction in [0, 1]; 1.0 keeps all.
    """
    return [note for note in notes if hashed_share("slice", note.id) < fraction]
