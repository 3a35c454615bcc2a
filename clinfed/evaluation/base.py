"""EvaluationCounts: the base of all counts. A task names its kind, and a new kind touches the task's own file only.

counts = north + south  # merged counts, as if the notes of both had been evaluated together
counts.evaluation({"north": north, "south": south})  # what the record says of them
Kind.from_arrays(counts.to_arrays())  # what travels, and back
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from clinfed.errors import UserError
from clinfed.evaluation.scores import Evaluation, Measures

LARGEST_COUNT = 10**12  # of one row, or of one replicate: sums of a million clinics still fit 64 bits
LANGUAGE = re.compile(r"([a-z]{2})?")

Wire = Mapping[str, Any]  # arrays of integers and lists of names by key, as they travel


class EvaluationCounts(ABC):
    """What an evaluation adds up to: a task says which kind it counts (`Task.counts`), and `kind()` counts nothing.

    Counts of clinics are added, never averaged; scores follow from the sums. Only integers and short names travel.
    """

    named: ClassVar[Mapping[str, tuple[str, ...]]]  # array of to_arrays -> the lists of names of its rows
    unit: ClassVar[str]  # what is counted, in the plural
    score_name: ClassVar[str]

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """Return the merged counts, as if the notes of both had been evaluated together."""

    @property
    @abstractmethod
    def score(self) -> float | None:
        """Return how good the counts are, more being better: by it the best round is chosen. None: undefined."""

    @staticmethod
    def shown(score: float) -> str:
        """Return a score as people read it."""
        return f"{score:.3f}".removeprefix("0")

    @property
    def gold(self) -> int:
        """Return how many annotations the notes have by these counts; 0 where none are counted."""
        return 0

    @property
    def predicted(self) -> int:
        """Return how many annotations were predicted by these counts; 0 where none are counted."""
        return 0

    @abstractmethod
    def measures(self) -> dict[str, Any]:
        """Return counts and the scores that follow from them, by name, for one clinic's line in the record."""

    @abstractmethod
    def evaluation(self, clinics: Mapping[str, Any]) -> Evaluation | Measures:
        """Return what the record says of these counts, which are the clinics' merged.

        Needed: every key of Measures, or of Evaluation for hits and misses (both in clinfed/evaluation/scores.py).
        """

    @abstractmethod
    def to_arrays(self) -> dict[str, Any]:
        """Return what leaves the clinic: int64 arrays, and lists of names; no note, no id, no position."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, wire: Wire) -> Self:
        """Return the counts that a clinic sent. Raises: ValueError where shapes, types or signs are not as agreed."""

    @abstractmethod
    def check(self, *, replicates: int, shared: Collection[str] | None) -> None:
        """Raise ValueError where the counts cannot be, or name what must not be named.

        replicates: of the bootstrap, as many as were asked for. shared: the codes that a real site may name; None: any.
        """


def refuse_incomplete(kind: type[EvaluationCounts]) -> None:
    """Raise UserError where the evaluation of a kind of counts lacks a key that the record and the tables need."""
    evaluated = kind().evaluation({})
    needed = Measures if "measures" in evaluated or "micro" not in evaluated else Evaluation
    if missing := sorted(needed.__required_keys__ - evaluated.keys()):
        raise UserError(
            f"{kind.__module__}: {kind.__name__}.evaluation lacks {', '.join(missing)}; expected every key of "
            f"{needed.__name__} (clinfed/evaluation/scores.py); add what is missing"
        )


def check_array(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the array is int64, of the shape, and holds counts that can be added up."""
    if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.shape != shape:
        raise ValueError(f"{name} are {getattr(array, 'dtype', type(array))}{np.shape(array)}; expected int64{shape}")
    if array.size and array.min() < 0:
        raise ValueError(f"{name} hold a negative number")
    if array.size and array.max() > LARGEST_COUNT:
        raise ValueError(f"{name} hold a number above {LARGEST_COUNT}, expected less")


def check_languages(languages: Iterable[str]) -> None:
    """Raise ValueError unless each is two letters, or "" where a language is not known or not named."""
    if not all(LANGUAGE.fullmatch(language) for language in languages):
        raise ValueError("counts name a language that is none")
