"""A simulation needs a mention to learn from, whichever command deals the notes."""

import json
from pathlib import Path
from typing import Any

import pytest

from client.clinic import Simulation
from clinfed.errors import UserError
from configs import load


def dealt(folder: Path, notes: list[dict[str, Any]]) -> Simulation:
    (folder / "codes.json").write_text('["J45.9"]')
    lines = [
        {"id": f"n{number}", "text": "Asma i tos.", "patient": f"p{number}"} | each for number, each in enumerate(notes)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = [f"corpus.path={folder}/notes.jsonl", f"corpus.labels={folder}/codes.json", "partition=iid"]
    return Simulation.deal(load(["corpus=jsonl", *options]), 2)


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
