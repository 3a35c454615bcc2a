"""The laws that every partition keeps: a new file in partitions/ is tested the moment it exists."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from configs.discovery import options, plugin_class
from partitions.base import Partition, deal, manifest

CODES = ("E11.9", "I10", "J45.901", "N39.0", "Z12.31")
CHAPTER_OF = dict(zip(CODES, ("IV", "IX", "X", "XIV", "XXI"), strict=True))
MADE = [
    plugin_class("partition", name)(within_language=within) for name in options("partition") for within in (False, True)
]
EVERY = pytest.mark.parametrize("partition", MADE, ids=repr)
RANDOM = pytest.mark.parametrize("partition", [made for made in MADE if made.random], ids=repr)


def random_notes(seed: int, num_patients: int = 40) -> list[Note]:
    """Return notes of patients with 1-9 visits; some change language or clinic, some notes have no patient or code."""
    rng = np.random.default_rng(seed)
    notes = []
    for patient in range(num_patients):
        home = int(rng.integers(8))
        for visit in range(int(rng.integers(1, 10))):
            language = "ca" if (patient % 2 == 0) != (rng.random() < 0.2) else "es"
            spans = tuple(Span(((start, start + 4),), str(rng.choice(CODES))) for start in range(int(rng.integers(3))))
            clinic = f"centre-{home if rng.random() < 0.9 else int(rng.integers(8))}"
            name = f"patient-{patient}" if patient % 10 else ""
            notes.append(
                Note(
                    f"note-{patient}-{visit}",
                    "secret words" + " and more" * int(rng.integers(9)),
                    spans,
                    language,
                    name,
                    clinic,
                )
            )
    return notes


def clinics_of_units(dealt: dict[str, list[Note]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for clinic, notes in dealt.items():
        for note in notes:
            found.setdefault(note.unit, set()).add(clinic)
    return found


@EVERY
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), num_clinics=st.integers(2, 12), num_patients=st.integers(2, 60))
def test_a_partition_is_a_partition(partition: Partition, seed: int, num_clinics: int, num_patients: int) -> None:
    notes = random_notes(seed, num_patients)
    dealt = deal(notes, partition, num_clinics, seed)
    assert sorted(note.id for held in dealt.values() for note in held) == sorted(note.id for note in notes)
    assert all(len(clinics) == 1 for clinics in clinics_of_units(dealt).values())
    assert len(dealt) <= num_clinics
    assert all(dealt.values())
    assert list(dealt) == sorted(dealt)
    assert all([note.id for note in held] == sorted(note.id for note in held) for held in dealt.values())


@EVERY
def test_the_same_seed_deals_the_same_whatever_the_order_of_notes(partition: Partition) -> None:
    notes = random_notes(1)
    assert deal(notes, partition, 4, seed=3) == deal(notes[::-1], partition, 4, seed=3)


@RANDOM
def test_another_seed_deals_otherwise(partition: Partition) -> None:
    notes = random_notes(1)
    assert deal(notes, partition, 6, seed=3) != deal(notes, partition, 6, seed=4)


@EVERY
def test_no_clinics_are_refused(partition: Partition) -> None:
    with pytest.raises(UserError, match="clinics=0"):
        deal(random_notes(1), partition, 0, seed=0)


@pytest.mark.parametrize("partition", [made for made in MADE if made.within_language], ids=repr)
def test_within_language_no_clinic_mixes_majority_languages(partition: Partition) -> None:
    notes = [replace(note, language="ca" if note.unit < "patient-2" else "es") for note in random_notes(2)]
    for clinic, held in deal(notes, partition, 6, seed=0).items():
        assert {note.language for note in held} == {clinic[:2]}


@EVERY
def test_the_manifest_counts_every_note_and_holds_no_text(partition: Partition) -> None:
    notes = random_notes(5)
    entries = manifest(deal(notes, partition, 4, seed=0))
    written = json.dumps(entries)
    assert "secret" not in written
    assert "patient-" not in written
    assert "note-" not in written
    assert sum(entry["notes"] for entry in entries.values()) == len(notes)
    for chapter in CHAPTER_OF.values():
        held = sum(entry["chapters"].get(chapter, 0) for entry in entries.values())
        assert held == sum(CHAPTER_OF[span.code] == chapter for note in notes for span in note.spans)
    for entry in entries.values():
        assert sum(entry["languages"].values()) == sum(entry["splits"].values()) == entry["notes"]
        assert sum(entry["chapters"].values()) == entry["mentions"]
    patients = [patient for entry in entries.values() for patient in entry["patients"]]
    assert len(patients) == len(set(patients)) == len({note.unit for note in notes})
