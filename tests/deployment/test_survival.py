"""Real processes killed with -9: the SuperLink, and a site in the middle of a round."""

import contextlib
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clinfed.experiments import reaper
from clinfed.experiments.launch import free_ports
from tests.deployment.conftest import Deployment

pytestmark = [pytest.mark.deployment, pytest.mark.soak]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def federation(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a federation of its own with the sites "ca" and "es", since its processes are killed."""
    # Without authentication, the cheap way: with it, a killed site's key is usable again only after a minute.
    own = Deployment(tmp_path_factory.mktemp("killed"))
    try:
        own.start_link()
        for name in ("ca", "es"):
            own.start_node(name, world.node_config(name))
        yield own
    finally:
        own.stop()


def start_run(federation: Any, world: Any, *overrides: str) -> "subprocess.Popen[str]":
    """Start `flwr run --stream` and return at once."""
    environment = federation.environment("user")
    config = (
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{federation.port}"\ninsecure = true\n'
    )
    (federation.folder / "user" / "flwr" / "config.toml").write_text(config, "utf-8")
    settings = f"overrides='{' '.join([*world.site_overrides, *overrides])}' labels='{world.labels}'"
    command = [str(Path(sys.executable).parent / "flwr"), "run", str(ROOT), "--stream", "--run-config", settings]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=federation.folder / "user",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)


def kill(federation: Any, name: str) -> None:
    """Kill one process for good, and what it has started: -9 gives it no chance to do that by itself."""
    process = federation.processes[name]
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.wait()
    for pid in children:
        os.kill(pid, 9)


def servers(federation: Any) -> list[int]:
    """Return the processes in which the coordinator's loop over rounds runs."""
    found = []
    for pid in reaper.marked(federation.mark):
        with contextlib.suppress(OSError):  # it has just ended
            found += [pid] if b"flwr-serverapp" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


def test_a_killed_superlink_costs_no_more_than_the_round(federation: Any, world: Any, run_locally: Any) -> None:
    alone, _ = run_locally(world.overrides)
    run = start_run(federation, world, "clinics=2")
    runs = federation.folder / "link" / "home" / "runs"
    wait_until(lambda: list(runs.glob("*/state/round-0001")), "no checkpoint")
    threading.Event().wait(random.Random(7).uniform(0, 5))  # somewhere in the second round
    kill(federation, "link")
    run.communicate(timeout=300)
    [folder] = runs.glob("*")
    assert not (folder / "record.json").exists()
    wait_until(lambda: not servers(federation), "the server outlives its SuperLink")  # and holds the run until it ends
    federation.start_link()  # the sites are left alone: they connect again by themselves
    printed, _ = start_run(federation, world, "clinics=2", f"resume={folder}").communicate(timeout=400)
    record = federation.record
    assert "resumed after round 1" in printed
    assert record["adapter_sha256"] == alone["adapter_sha256"]
    assert [entry["round"] for entry in record["rounds"]] == [1, 2]


def test_a_site_killed_in_mid_round_is_left_out_and_comes_back(federation: Any, world: Any) -> None:
    coast = f'name="coast" notes="{world.site_notes("es")}" labels="{world.labels}"'
    federation.node_ports += free_ports(2)
    federation.start_node("coast", coast)
    with start_run(federation, world, "clinics=3", "rounds=5", "round.quorum=0.6") as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("clinfed | 3 clinics"):  # the first round's questions go out now
                threading.Event().wait(1)
                kill(federation, "coast")
                federation.start_node("coast", coast)
    record = federation.record
    taking_part = [sorted(entry["clinics"]) for entry in record["rounds"]]
    assert taking_part[0] == ["ca", "es"]
    assert re.match("its SuperNode is", record["rounds"][0]["refused"][0]["reason"])
    assert ["coast"] in [entry["joined"] for entry in record["rounds"]]
    assert taking_part[-1] == ["ca", "coast", "es"]
    assert record["rounds"][0]["seconds"] < 150  # Flower misses a site's heartbeat after a minute
