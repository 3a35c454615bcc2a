"""What a clinic's folder keeps of notes: for how long, how much, and what `clinfed forget` removes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.cli import main
from clinfed.clinic import states
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.ledger import Ledger
from clinfed.clinic.remanence import DAY_S, KEPT, Limits, forget, prune
from clinfed.home import clinic_folder
from strategies.base import ClientState

NOW = 1_900_000_000.0
RUN = "0" * 32


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def put(folder: str, name: str, size: int = 1, *, age_days: float = 0) -> Path:
    """Write a file that was last used so many days ago."""
    path = clinic_folder(folder) / name
    path.write_bytes(bytes(size))
    os.utime(path, (NOW - age_days * DAY_S, NOW - age_days * DAY_S))
    return path


@pytest.mark.parametrize(("folder", "days"), [("errors", 90), ("artefacts", 7), ("encoded", 30), ("embeddings", 30)])
def test_what_is_too_old_goes(folder: str, days: int) -> None:
    old, young = put(folder, "old", age_days=days + 0.1), put(folder, "young", age_days=days - 0.1)
    assert prune(NOW) == [old]
    assert young.exists()


def test_of_too_much_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEPT, "errors", Limits(90 * DAY_S, 10))
    paths = [put("errors", str(age), 4, age_days=age) for age in (1, 2, 3)]  # 4 + 4 bytes fit into 10, 12 do not
    assert prune(NOW) == paths[2:]
    assert [path.exists() for path in paths] == [True, True, False]


def test_a_folder_counts_with_all_that_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEPT, "encoded", Limits(30 * DAY_S, 10, locked=True))
    folder = clinic_folder("encoded") / "key"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "data").write_bytes(bytes(11))
    assert prune() == [folder]
    assert not folder.exists()


def save_state(clinic: str) -> states.Place:
    place = states.Place(RUN, clinic, "fingerprint")
    states.save(place, ClientState({"head": {"control": np.zeros(1, np.float32)}}, 1), before=0)
    return place


def test_forgetting_a_clinic_removes_its_states_and_all_caches_and_no_other_clinics_states() -> None:
    mine, theirs = save_state("north"), save_state("south")
    for folder in KEPT:
        put(folder, "made of notes")
    put("worker", "worker.log")
    assert main(["forget", "--clinic", "north"]) == 0
    assert (mine.path(1).exists(), theirs.path(1).exists()) == (False, True)
    assert [
        path for folder in (*KEPT, "worker") for path in clinic_folder(folder).iterdir() if path.suffix != ".lock"
    ] == []


def test_a_patient_is_nowhere_in_the_clinics_folder_after_it_was_forgotten(
    world: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = WorkerCache(world.overrides)
    clinic = cache.simulation(2).clinic(0, 1.0)
    gone = next(note for note in clinic.split("train") if note.patient)
    cache.encoded(clinic, "train")
    put("errors", "detail").write_text(gone.text, "utf-8")
    save_state("north")
    ledger = Ledger().path
    ledger.write_text("kept\n")
    words = gone.text.encode()[:40]

    def holding() -> list[Path]:
        files = [path for path in home.rglob("*") if path.is_file()]
        return [path for path in files if words in path.read_bytes() or gone.id.encode() in path.read_bytes()]

    assert len(holding()) >= 2, "the encoded notes and the error"
    assert main(["forget", "--patient", gone.patient]) == 0
    assert holding() == []
    assert list((home / "clinic" / "state").rglob("*.safetensors")) == []
    assert ledger.read_text() == "kept\n"
    said = capsys.readouterr().out
    assert "adapters that were sent" in said
    assert "the notes were not searched" in said
    assert gone.patient not in said


def test_a_patient_whose_notes_are_still_there_is_not_forgotten(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.jsonl"
    line = json.loads(world.site_notes("ca").read_text("utf-8").splitlines()[0])
    notes.write_text(json.dumps({**line, "patient": "p17"}) + "\n", "utf-8")
    settings = tmp_path / "site.toml"
    settings.write_text(f'name = "north"\nnotes = "{notes}"\nlabels = "{world.labels}"\nallowed_code = []\n')
    kept = put("errors", "detail")
    assert main(["forget", "--patient", "p17", "--settings", str(settings)]) == 2
    assert "1 notes are still of this patient" in capsys.readouterr().err
    assert kept.exists()
    assert main(["forget", "--patient", "p18", "--settings", str(settings)]) == 0
    assert not kept.exists()


def test_nothing_is_forgotten_while_a_worker_has_notes_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    kept = put("errors", "detail")
    code = "import sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "client.worker"],
        cwd=clinic_folder("worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout
        worker.stdout.readline()
        assert main(["forget", "--clinic", "north"]) == 2
        worker.communicate(b"")
    assert f"process {worker.pid} has notes in memory; stop the SuperNode first" in capsys.readouterr().err
    assert kept.exists()
    assert forget()["errors"] == 1
