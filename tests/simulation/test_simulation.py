"""The main job in Flower's simulation engine, as a user starts it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.simulation

SUMMARY = {
    "micro_f1",
    "macro_f1",
    "by_language",
    "lexicon_micro_f1",
    "local_lexicon_micro_f1",
    "adapter_sha256",
    "base_loads",
    "workers",
    "bytes_up",
    "bytes_down",
    "seconds",
    "rounds",
    "record",
}


def test_simulate_ends_with_one_json_object(simulated: Any) -> None:
    assert simulated.code == 0, simulated.err
    assert simulated.json.keys() >= SUMMARY
    assert simulated.out.count("\n") == 1


def test_each_round_is_one_line_and_the_record_comes_last(simulated: Any) -> None:
    lines = simulated.err.splitlines()
    rounds = [line for line in lines if line.startswith("round ")]
    assert [line.split(" | ")[0] for line in rounds] == ["round 1", "round 2"]
    assert all("2 clinics" in line and "ca ." in line and "worst" in line and " MB" in line for line in rounds)
    assert lines[-1] == f"run record: {simulated.json['record']}"
    assert "INFO" not in simulated.err, "Flower's own lines are not for the user"


def test_each_worker_loads_the_base_once(simulated: Any) -> None:
    assert simulated.json["base_loads"] == simulated.json["workers"] > 0


def test_rays_workers_end_with_the_adapter_of_one_process(simulated: Any, world: Any, run_locally: Any) -> None:
    local, _ = run_locally(world.overrides)
    assert simulated.json["adapter_sha256"] == local["adapter_sha256"]


def test_a_simulation_leaves_no_process_behind(simulated: Any) -> None:
    assert not processes_of(simulated.home)


@pytest.mark.parametrize(
    "end", [pytest.param(signal.SIGTERM, marks=pytest.mark.soak), signal.SIGKILL], ids=["stopped", "killed"]
)
def test_whatever_ends_the_command_ends_all_that_it_started(world: Any, short: Path, end: signal.Signals) -> None:
    home = short / f"ended-{end.name}"
    command = [str(Path(sys.executable).parent / "clinfed"), "simulate", *world.overrides, "rounds=500"]
    environment = {**os.environ, "CLINFED_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith("clinics load") for line in process.stdout)
    folder = private_folder(home)
    assert folder.is_dir()
    process.send_signal(end)
    assert process.wait(60) == (128 + end if end == signal.SIGTERM else -end)
    process.stdout.close()
    deadline = time.monotonic() + 30  # after SIGKILL it is the reaper that ends them, a moment later
    while time.monotonic() < deadline and (processes_of(home) or folder.exists()):
        threading.Event().wait(0.1)
    assert not processes_of(home)
    assert not folder.exists()


def environments(home: Path) -> list[dict[bytes, bytes]]:
    """Return the environments of all processes whose CLINFED_HOME is home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or one that has just ended
            pairs = (entry / "environ").read_bytes().split(b"\0")
            found.append({pair.partition(b"=")[0]: pair.partition(b"=")[2] for pair in pairs})
    return [each for each in found if each.get(b"CLINFED_HOME") == str(home).encode()]


def processes_of(home: Path) -> int:
    """Return how many processes of a run are there."""
    return len(environments(home))


def private_folder(home: Path) -> Path:
    """Return the folder that a running simulation has made for itself."""
    [folder] = {each[b"FLWR_HOME"] for each in environments(home) if b"FLWR_HOME" in each}
    return Path(folder.decode()).parent
