"""`clinfed simulate`: what `resume=` makes of a checkpoint before anything starts; what a finished run takes along."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.evaluation import artefacts
from clinfed.experiments.resume import as_resumed
from clinfed.experiments.simulate import collect_artefacts, interrupted
from clinfed.home import artefact_file
from clinfed.runs import checkpoints
from clinfed.runs.checkpoints import Checkpoint
from clinfed.runs.state import RunState
from configs import load, resolved
from strategies.base import ServerState

SETTINGS = ("strategy=fedadam", "strategy.beta1=0.8", "rounds=7", "adapter.r=4", "output=/a b/'c'")


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an interrupted run among those of this home."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    folder = tmp_path / "runs" / "20260101T000000-abcdef01"
    state = AdapterState({"head.weight": np.zeros((2, 2), np.float32)})
    run_state = RunState(ServerState(state, {}, 3))
    checkpoints.save(folder / "state", Checkpoint(run_state, resolved(load(SETTINGS)), {}, {}))
    return folder


def test_a_resumed_run_has_the_settings_of_its_checkpoint(run_folder: Path) -> None:
    # A run's id becomes a path in the working folder first, as every relative path does.
    for named in (str(run_folder), f"/elsewhere/{run_folder.name}"):
        now = resolved(load(as_resumed([f"resume={named}", "adapter.r=4"])))
        assert now == resolved(load(SETTINGS)) | {"resume": str(run_folder)}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("rounds=8", "resume: rounds is 8 now and 7 in the checkpoint; give rounds=7 again"),
        ("strategy.beta1=0.9", "resume: strategy.beta1 is 0.9 now and 0.8 in the checkpoint"),
        ("strategy=fedprox", "resume: strategy is fedprox now and fedadam in the checkpoint; leave strategy out"),
    ],
)
def test_another_setting_is_refused_by_name(run_folder: Path, other: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_resumed([f"resume={run_folder}", other])


def test_a_run_of_its_own_keeps_what_was_given(run_folder: Path) -> None:
    assert as_resumed(["rounds=8"]) == ["rounds=8"]


def test_an_interrupted_run_is_one_with_a_checkpoint_and_no_record(run_folder: Path, tmp_path: Path) -> None:
    assert interrupted(run_folder)
    assert not interrupted(tmp_path / "nowhere")
    (run_folder / "record.json").write_text("{}", "utf-8")
    assert not interrupted(run_folder)


@pytest.mark.parametrize("chosen", [2, 1])
def test_what_clinics_kept_comes_to_the_run_but_no_validation_of_another_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: int
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    run: Any = {"adapter_sha256": "a" * 64, "manifest": {"ca": {}, "es": {}}, "rounds": [{"round": 1}, {"round": 2}]}
    for file in artefacts.FILES:
        artefacts.keep(artefact_file("a" * 64, "ca", file), {"of": file})
    collect_artefacts(tmp_path, run | {"chosen_round": chosen})
    validation = {} if chosen == 1 else {"ca": {"of": artefacts.VALIDATION_UNITS}}
    assert artefacts.read(tmp_path / artefacts.VALIDATION_UNITS) == validation
    for file in (artefacts.HITS, artefacts.UNITS, artefacts.OUTCOMES):
        assert artefacts.read(tmp_path / file) == {"ca": {"of": file}}
    assert not [*(tmp_path / "home" / "clinic" / "artefacts").iterdir()]
