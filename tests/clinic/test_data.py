"""How a simulation deals notes: to no more clinics than patients, and with a mention to learn from."""

import json
from pathlib import Path
from typing import Any

import pytest

from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Simulation
from clinfed.corpus.synthetic import generate
from clinfed.errors import UserError
from clinfed.experiments.train import gather
from configs import load
from server.central import PublicSet

NOTES = list(generate(seed=3, patients=4))


def options_of(folder: Path, notes: list[dict[str, Any]]) -> list[str]:
    """Return the settings of a corpus of these notes."""
    (folder / "codes.json").write_text('["J45.9"]')
    lines = [
        {"id": f"n{number}", "text": "Asma i tos.", "patient": f"p{number}"} | each for number, each in enumerate(notes)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ["corpus=jsonl", f"corpus.path={folder}/notes.jsonl", f"corpus.labels={folder}/codes.json"]


def dealt(folder: Path, notes: list[dict[str, Any]]) -> Simulation:
    return Simulation.deal(load([*options_of(folder, notes), "partition=iid"]), 2)


def test_one_place_refuses_a_clinic_without_a_mention_and_takes_the_others(tmp_path: Path) -> None:
    notes = [{**span("J45.9"), "clinic": "north"}] * 20 + [{**span("J45.9"), "clinic": "south"}] * 20
    notes = [*notes[:20], *({**note, "ents": note["spans"], "spans": None} for note in notes[20:])]
    notes += [{**span("J45.9"), "clinic": name, "split": "test"} for name in ("north", "south")]
    options = [*options_of(tmp_path, notes), "partition=clinic"]
    assert gather(WorkerCache([*options, "only.clinic=north"]))[0].name == "north"
    with pytest.raises(UserError, match=r"no mention to learn from: south \(\d+ training notes: 20 unknown field ents"):
        gather(WorkerCache([*options, "only.clinic=south"]))


def test_a_public_set_without_a_mention_evaluates_nothing_and_is_refused(tmp_path: Path) -> None:
    (tmp_path / "public.jsonl").write_text('{"id": "n", "text": "Asma.", "entities": []}\n')
    with pytest.raises(UserError, match=r"central\.notes=.*public\.jsonl: none of its 1 notes holds a mention"):
        PublicSet(load([f"central.notes={tmp_path}/public.jsonl"]), ["J45.9"])


def span(code: str) -> dict[str, Any]:
    return {"spans": [{"start": 0, "end": 4, "code": code}], "split": "train"}


def test_notes_whose_annotations_stand_under_another_key_are_refused(tmp_path: Path) -> None:
    said = r"no mention to learn from: clinic-1, clinic-2 \(\d+ training notes: 20 unknown field ents \(ignored; did"
    with pytest.raises(UserError, match=said):
        dealt(tmp_path, [{"ents": [[0, 4, "J45.9"]], "split": "train"}] * 20)


def test_mentions_of_other_codes_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\d+ mentions, none that tags and the shared codes can hold"):
        dealt(tmp_path, [span("R05")] * 20)


def test_one_mention_is_enough(tmp_path: Path) -> None:
    notes = [span("R05")] * 20 + [span("J45.9")] * 20
    assert len(dealt(tmp_path, notes).dealt) == 2


def test_more_clinics_than_patients_are_refused() -> None:
    with pytest.raises(UserError, match=r"^clinics=5: the notes come from 4 patients, .*; give clinics=4 or fewer$"):
        Simulation.of_notes(NOTES, load(["clinics=5", "partition=iid"]), 5)


def test_as_many_clinics_as_patients_are_dealt_one_each() -> None:
    dealt = Simulation.of_notes(NOTES, load(["clinics=4", "partition=iid", "corpus.train_fraction=1"]), 4).dealt
    assert [len({note.unit for note in notes}) for notes in dealt.values()] == [1, 1, 1, 1]
