"""`tracking=`: real event files, read back; what is missing is named with what to install."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.runs import tracking

# tensorboard's own reader brings warnings of numpy and protobuf that are not ours
pytestmark = pytest.mark.filterwarnings("ignore")


def trained(world: Any, tracker: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """Return the folder and the record of a short run."""
    monkeypatch.setenv("CLINFED_HOME", str(home))
    assert main(["train", *world.overrides, "rounds=1", f"tracking={tracker}"]) == 0
    [path] = home.glob("runs/*/record.json")
    return path.parent, json.loads(path.read_text("utf-8"))


def test_tensorboard_holds_the_records_numbers(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, record = trained(world, "tensorboard", tmp_path / "home", monkeypatch)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    entry, test = record["rounds"][0], record["test"]["centralised"]["all"]
    expected = {
        "loss": entry["loss"],
        "validation/f1": entry["validation"]["micro"]["f1"],
        "validation/by_clinic/ca": entry["validation"]["by_clinic"]["ca"]["f1"],
        "cost/seconds": entry["seconds"],
        "test/centralised/f1": test["micro"]["f1"],
        "test/centralised/by_language/es": test["by_language"]["es"]["f1"],
    }
    for name, value in expected.items():
        [found] = events.Scalars(name)
        assert (found.step, found.value) == (1, pytest.approx(value, rel=1e-6))
    for file in (folder / "tensorboard").iterdir():
        content = file.read_bytes()
        assert not [canary for canary in world.canaries if canary.encode() in content]


def test_each_round_is_on_disk_before_the_next_one_begins(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = tracking.start("tensorboard", tmp_path, tmp_path, {})
    for number in (1, 2):
        entry: Any = {"round": number, "loss": 1.0 / number, "clinics": {}, "validation": None}
        tracker.add_round(entry | {"seconds": 1.0, "aggregate_s": 0.0, "bytes_up": 3, "bytes_down": 4})
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        assert [(each.step, each.value) for each in events.Scalars("loss")][-1] == (number, 1.0 / number)


def test_mlflows_file_store_holds_the_records_numbers(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (pip install mlflow-skinny)")
    folder, record = trained(world, "mlflow", tmp_path / "home", monkeypatch)
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "home" / "mlflow").as_uri())
    [run] = client.search_runs([client.get_experiment_by_name("clinfed").experiment_id])
    assert run.info.run_name == folder.name
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/centralised/f1"] == record["test"]["centralised"]["all"]["micro"]["f1"]
    assert run.data.metrics["loss"] == record["rounds"][0]["loss"]


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_a_missing_package_is_named_before_anything_starts(
    command: str, world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    assert main([command, *world.overrides, "tracking=tensorboard"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "the package tensorboard is not installed here; run pip install 'clinfed[tracking]'" in line
    assert main([command, *world.overrides, "tracking=wandb"]) == 2
    assert "expected off, tensorboard or mlflow" in capsys.readouterr().err


def test_without_the_switch_nothing_is_tracked(tmp_path: Path) -> None:
    tracker = tracking.start("off", tmp_path, tmp_path, {})
    nothing: Any = {}
    tracker.add_round(nothing)
    tracker.finish(nothing)
    assert list(tmp_path.iterdir()) == []
