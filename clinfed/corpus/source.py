"""Corpus: the plug-in class of `corpus=NAME`; each option is one module of clinfed/corpus/readers.

    >>> from pathlib import Path
    >>> from tempfile import NamedTemporaryFile
    >>> from clinfed.corpus.note import Span
    >>> class Diagnoses(Corpus):
    ...     '''A text file with one diagnosis a line: its code, a semicolon, its words.'''
    ...     def notes(self, skipped=None):
    ...         for number, line in enumerate(Path(self.path).read_text("utf-8").splitlines(), start=1):
    ...             code, words = line.split(";")
    ...             yield Note(f"line-{number}", words, (Span(((0, len(words)),), code),), language="es")
    ...     def codes(self):
    ...         return ["E11.9", "I10"]
    >>> with NamedTemporaryFile("w", suffix=".txt") as file:
    ...     print("I10;HTA", file=file, flush=True)
    ...     [note] = Diagnoses(path=file.name).notes()
    >>> note.text, note.spans
    ('HTA', (Span(fragments=((0, 3),), code='I10'),))

A reader of files subclasses FileCorpus (clinfed/corpus/readers/base.py), which checks paths and counts faults.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from clinfed.corpus.note import Note
from clinfed.settings import setting

TEST, DEVELOPMENT = "test", "development set"  # what a run's last evaluation is of
FRACTION: dict[str, Any] = {"least": 0, "most": 1, "unit": "fraction"}  # limits of train_fraction


@dataclass(frozen=True)
class Corpus:
    """A source of notes, and of the list of codes that all sides share."""

    path: str = setting("", help="file or folder of the notes")
    train_fraction: float = setting(
        1.0, help="part of the training notes that is used, nested by hash; evaluation uses all", **FRACTION
    )
    lowercase: bool = setting(False, help="lower-case all text, as in the reference paper")
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

    @property
    def evaluated(self) -> str:
        """Return what a run evaluates last: TEST, or DEVELOPMENT for notes by which recipes were chosen."""
        return TEST

    @abstractmethod
    def codes(self) -> list[str]:
        """Return the sorted public list of codes; never collected from clinics' notes."""
        raise NotImplementedError
