"""The embedded synthetic corpus: `generate` makes the notes, `codes` lists the labels."""

from dataclasses import dataclass
from random import Random

from clinfed.corpus.note import Note
from clinfed.corpus.synthetic.lexicon import diagnoses
from clinfed.corpus.synthetic.patients import FULL_PATIENTS, plan_patients
from clinfed.corpus.synthetic.writer import Writer


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


def codes() -> list[str]:
    """Return the sorted codes that the generator can annotate: the label list that all sides share."""
    return sorted(diagnoses())
