"""The local backend: the same run as with Flower's messages, without Flower."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# In the place of `clinfed`, where neither Flower nor Ray can be imported.
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flwr", "ray"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from clinfed.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_flower_and_ray_a_local_run_gives_the_same_adapter_and_bytes(
    world: Any, tmp_path: Path, run_locally: Any
) -> None:
    expected, _ = run_locally(world.overrides)
    command = [sys.executable, "-c", BLOCKED, "simulate", *world.overrides, "backend=local", "--json"]
    environment = os.environ | {"CLINFED_HOME": str(tmp_path / "local"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    record = json.loads(Path(summary["record"]).read_text("utf-8"))
    assert record["adapter_sha256"] == expected["adapter_sha256"]
    assert [(each["bytes_up"], each["bytes_down"]) for each in record["rounds"]] == [
        (each["bytes_up"], each["bytes_down"]) for each in expected["rounds"]
    ]
    assert record["test"]["federated"] == expected["test"]["federated"]


def test_a_failure_in_a_local_clinic_names_its_class_and_no_more(
    world: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from clinfed.cli import main

    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError("Pacient canarytext")

    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    monkeypatch.setattr("clinfed.clinic.work.train_round", broken)
    assert main(["simulate", *world.overrides, "backend=local"]) == 2
    printed = "".join(capsys.readouterr())
    assert "train failed with ValueError" in printed
    assert "canarytext" not in printed
