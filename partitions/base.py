"""Partition: the plug-in class of `partition=NAME`; each option is one module of this folder.

A partition says which clinic each patient goes to; `deal` hands out the notes and `manifest` says who holds what. To
add one, write partitions/NAME.py with one subclass; the contract tests in tests/partitions find it.

    >>> class InTurn(Partition):
    ...     '''Deals patients one after another, as cards are dealt.'''
    ...     def assign(self, holdings, num_clinics, rng):
    ...         return {each.unit: f"clinic-{index % num_clinics + 1}" for index, each in enumerate(holdings)}
    >>> patients = {"n1": "anna", "n2": "anna", "n3": "biel", "n4": "cesc"}
    >>> notes = [Note(id=name, text="tos", patient=patient) for name, patient in patients.items()]
    >>> dealt = deal(notes, InTurn(), num_clinics=2, seed=0)
    >>> {clinic: [note.id for note in held] for clinic, held in dealt.items()}  # a patient's notes stay together
    {'clinic-1': ['n1', 'n2', 'n4'], 'clinic-2': ['n3']}
"""

import hashlib
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from clinfed.corpus.icd10 import chapter, is_code
from clinfed.corpus.note import Note
from clinfed.corpus.splits import split_of
from clinfed.errors import UserError
from clinfed.settings import setting

UNKNOWN = "und"  # ISO 639-2 for an undetermined language; also a clinic or a chapter that no note names


@dataclass
class Holding:
    """What a partition may know of a patient (a note, where it names no patient): counts, no text.

    languages and clinics count notes; chapters count mentions.
    """

    unit: str
    notes: int = 0
    characters: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    clinics: Counter[str] = field(default_factory=Counter)
    chapters: Counter[str] = field(default_factory=Counter)

    @property
    def language(self) -> str:
        """Return the language of most notes."""
        return most_frequent(self.languages)

    @property
    def clinic(self) -> str:
        """Return where most notes were written."""
        return most_frequent(self.clinics)

    @property
    def chapter(self) -> str:
        """Return the ICD-10 chapter of most mentions."""
        return most_frequent(self.chapters)


def most_frequent(counts: Mapping[str, int]) -> str:
    """Return the key with the highest count, the first by name among equals, UNKNOWN if there is none."""
    return min(counts, key=lambda key: (-counts[key], key), default=UNKNOWN)


def chapter_of(code: str) -> str:
    """Return the code's chapter, UNKNOWN for a label that is no ICD-10 code (readers keep such labels)."""
    return chapter(code) if is_code(code) else UNKNOWN


@dataclass(frozen=True)
class Partition:
    """How notes are dealt to clinics in a simulation."""

    random: ClassVar[bool] = True  # another seed deals otherwise
    within_language: bool = setting(
        False, help="apply the rule inside each language, so that no clinic mixes two majority languages"
    )

    @abstractmethod
    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic name; holdings come sorted by unit. A clinic may get none: it sits out."""
        raise NotImplementedError


def holdings_of(notes: Iterable[Note]) -> list[Holding]:
    """Return the notes' units with their counts, sorted by unit."""
    holdings: dict[str, Holding] = {}
    for note in notes:
        holding = holdings.setdefault(note.unit, Holding(note.unit))
        holding.notes += 1
        holding.characters += len(note.text)
        holding.languages[note.language or UNKNOWN] += 1
        holding.clinics[note.clinic or UNKNOWN] += 1
        holding.chapters.update(chapter_of(span.code) for span in note.spans)
    return [holdings[unit] for unit in sorted(holdings)]


def deal(notes: Sequence[Note], partition: Partition, num_clinics: int, seed: int) -> dict[str, list[Note]]:
    """Return each clinic's notes, sorted by clinic name and note id; clinics without notes are absent.

    Raises: UserError where the partition cannot deal these notes to so many clinics.
    """
    if num_clinics < 1:
        raise UserError(f"clinics={num_clinics}: expected 1 or more")
    rng = np.random.default_rng(seed)
    holdings = holdings_of(notes)
    if partition.within_language:
        clinic_of = assign_within_language(holdings, partition, num_clinics, rng)
    else:
        clinic_of = partition.assign(holdings, num_clinics, rng)
    dealt: defaultdict[str, list[Note]] = defaultdict(list)
    for note in sorted(notes, key=lambda note: note.id):
        dealt[clinic_of[note.unit]].append(note)
    return {name: dealt[name] for name in sorted(dealt)}


def assign_within_language(
    holdings: Sequence[Holding], partition: Partition, num_clinics: int, rng: np.random.Generator
) -> dict[str, str]:
    """Return each unit's clinic, "LANGUAGE-CLINIC", with the partition's rule applied to each language alone."""
    clinic_of: dict[str, str] = {}
    for language, share in clinics_per_language(holdings, num_clinics).items():
        inside = [holding for holding in holdings if holding.language == language]
        assigned = partition.assign(inside, share, rng)
        clinic_of |= {unit: f"{language}-{clinic}" for unit, clinic in assigned.items()}
    return clinic_of


def clinics_per_language(holdings: Sequence[Holding], num_clinics: int) -> dict[str, int]:
    """Return how many clinics each language gets, by name: equal parts, what is left over to those with most notes.

    Raises: UserError where there are fewer clinics than languages.
    """
    notes: Counter[str] = Counter()
    for holding in holdings:
        notes[holding.language] += holding.notes
    if num_clinics < len(notes):
        names = ", ".join(sorted(notes))
        raise UserError(
            f"clinics={num_clinics}: the notes have {len(notes)} languages ({names}), and each needs a clinic of its "
            f"own; give clinics={len(notes)} or more, or another partition"
        )
    share, left_over = divmod(num_clinics, max(1, len(notes)))
    by_size = sorted(notes, key=lambda language: (-notes[language], language))
    return {language: share + (by_size.index(language) < left_over) for language in sorted(notes)}


def manifest(dealt: Mapping[str, Sequence[Note]]) -> dict[str, dict[str, Any]]:
    """Return who holds what, ready for JSON: per clinic the counts and the hashed patients, never a word of a note.

    notes, languages and splits count notes; mentions and chapters count mentions. patients: the first 16 hexadecimal
    digits of SHA-256, enough to show that no patient is in two clinics, but no protection for a guessable id.
    """
    return {clinic: describe(notes) for clinic, notes in dealt.items()}


def describe(notes: Sequence[Note]) -> dict[str, Any]:
    """Return one clinic's entry of the manifest."""
    chapters = Counter(chapter_of(span.code) for note in notes for span in note.spans)
    return {
        "notes": len(notes),
        "mentions": chapters.total(),
        "languages": dict(sorted(Counter(note.language or UNKNOWN for note in notes).items())),
        "chapters": dict(sorted(chapters.items())),
        "splits": dict(sorted(Counter(split_of(note) for note in notes).items())),
        "patients": sorted({hashlib.sha256(note.unit.encode()).hexdigest()[:16] for note in notes}),
    }


def held_by(notes: Sequence[Note]) -> dict[str, dict[str, set[str]]]:
    """Return the patients behind each number of the manifest's languages and chapters, as describe names them."""
    having: dict[str, dict[str, set[str]]] = {"languages": {}, "chapters": {}}
    for note in notes:
        having["languages"].setdefault(note.language or UNKNOWN, set()).add(note.unit)
        for span in note.spans:
            having["chapters"].setdefault(chapter_of(span.code), set()).add(note.unit)
    return having
