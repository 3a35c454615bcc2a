"""How a simulation deals notes to its clinics."""

import pytest

from client.clinic import Simulation
from clinfed.corpus.synthetic import generate
from clinfed.errors import UserError
from configs import load

NOTES = list(generate(seed=3, patients=4))


def test_more_clinics_than_patients_are_refused() -> None:
    with pytest.raises(UserError, match=r"^clinics=5: the notes are of 4 patients, .*; give clinics=4 or fewer$"):
        Simulation.of_notes(NOTES, load(["clinics=5", "partition=iid"]), 5)


def test_as_many_clinics_as_patients_are_dealt_one_each() -> None:
    dealt = Simulation.of_notes(NOTES, load(["clinics=4", "partition=iid"]), 4).dealt
    assert [len({note.unit for note in notes}) for notes in dealt.values()] == [1, 1, 1, 1]
