"""Corpus: the plug-in class of `corpus=NAME`; each option is one module of clinfed/corpus/readers."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from clinfed.corpus.note import Note
from clinfed.settings import setting

FRACTION: dict[str, Any] = {"least": 0, "most": 1, "unit": "fraction"}  # limits of train_fraction


@dataclass(frozen=True)
class Corpus:
    """A source of notes, and of the list of codes that all sides share."""

    path: str = setting("", help="file or folder of the notes")
    train_fraction: float = setting(
        1.0, help="part of the training notes that is used, nested by hash; evaluation uses all", **FRACTION
    )
    lowercase: bool = setting(False, help="case normalisation, as in the reference paper")
    skip_bad: bool = setting(False, help="count and report bad notes instead of stopping at the first")
    labels: str = setting(
        "", help="JSON list of the codes that all sides share; empty takes the corpus's own public list"
    )

    @abstractmethod
    def notes(self, skipped: Counter[str] | None = None) -> Iterator[Note]:
        """Yield all notes (all splits), each with its language and, where official, its split.

        skipped: counts what reading leaves out, merges or ignores, by reason.
        """
        raise NotImplementedError

    def is_public(self, notes: Iterable[Note]) -> bool:
        """Return whether anyone may see these notes, so that a report may show them; nothing that a run could set.

        notes: none of them asks whether that could be at all.
        """
        return False

    @abstractmethod
    def codes(self) -> list[str]:
        """Return the sorted public list of codes; never collected from clinics' notes."""
        raise NotImplementedError
