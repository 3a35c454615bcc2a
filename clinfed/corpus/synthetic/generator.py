"""The embedded synthetic corpus: `generate` makes the notes, `codes` lists the labels."""

from dataclasses import dataclass
from itertools import islice
from random import Random
from string import ascii_uppercase

from clinfed.corpus.note import Note
from clinfed.corpus.synthetic.lexicon import diagnoses
from clinfed.corpus.synthetic.patients import FULL_PATIENTS, plan_patients
from clinfed.corpus.synthetic.writer import Writer

MOST_CODES = 26_000  # A00.0 to Z99.9


@dataclass(frozen=True, slots=True)
class Generated:
    """Notes, with the counts that only the generator knows: words between white space, and those noised."""

    notes: list[Note]
    words: int
    noised: int


def generate(seed: int = 0, patients: int = FULL_PATIENTS) -> list[Note]:
    """Return invented notes, sorted by id; another seed gives other patients, with other ids.

    Raises: ValueError where patients is below 1.
    """
    return generate_counted(seed, patients).notes


def generate_counted(seed: int = 0, patients: int = FULL_PATIENTS) -> Generated:
    """Return the notes of `generate` with the number of words and of noised words."""
    if patients < 1:
        raise ValueError(f"patients={patients}: expected at least 1")
    notes: list[Note] = []
    noised = 0
    for patient in plan_patients(seed, patients):
        writer = Writer(patient, Random(f"synthetic/{seed}/{patient.id}"))
        notes += [writer.write(visit) for visit in patient.visits]
        noised += writer.noised
    words = sum(len(note.text.split()) for note in notes)
    return Generated(sorted(notes, key=lambda note: note.id), words, noised)


def codes(at_least: int = 0) -> list[str]:
    """Return the sorted codes that the generator can annotate: the label list that all sides share.

    at_least: so many, filled up in order with codes that no note has; at most MOST_CODES.
    """
    own = diagnoses()
    forms = (
        f"{letter}{number:02}.{place}" for letter in ascii_uppercase for number in range(100) for place in range(10)
    )
    unused = (form for form in forms if form not in own)
    return sorted([*own, *islice(unused, max(0, at_least - len(own)))])
