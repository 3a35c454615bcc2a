"""kill -9 at random moments, of the server, of Flower's SuperLink and of the command; then `resume=`."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinfed import fingerprints
from clinfed.experiments.rows import Row
from configs import load, resolved

pytestmark = pytest.mark.simulation

ROUNDS = 8
NOTICED_S = 40.0  # 15 on an idle machine; Flower itself misses a killed server after a minute
VICTIMS = ("flwr-simulation", "flower-superlink", "simulate")  # the server; what carries its messages; the command
CLINFED = str(Path(sys.executable).parent / "clinfed")


TIMED = ("seconds", "peak_bytes")  # what depends on the machine and the process


def untimed(value: Any) -> Any:
    """Return a record's part without what the clock and the worker processes say."""
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in TIMED and not key.endswith("_s")}
    return value


def processes(home: Path) -> dict[int, str]:
    """Return id -> command of the processes of a run, by the CLINFED_HOME in their environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or one that has just ended
            if f"CLINFED_HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def kill_after_a_round(home: Path, arguments: list[str], victim: str, rng: random.Random) -> str:
    """Start a run, kill one of its processes a random time after its next checkpoint, and return what was printed."""
    kept = {path.name for path in home.glob("runs/*/state/round-*")}
    environment = {**os.environ, "CLINFED_HOME": str(home)}
    run = subprocess.Popen(
        [CLINFED, "simulate", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_until(lambda: bool({path.name for path in home.glob("runs/*/state/round-*")} - kept), 300, "no checkpoint")
    threading.Event().wait(rng.uniform(0, 1.5))
    [pid] = [pid for pid, command in processes(home).items() if f"/{victim} " in command or f" {victim} " in command][
        :1
    ]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    printed, _ = run.communicate(timeout=300)
    assert run.returncode != 0
    assert time.monotonic() - killed < NOTICED_S
    wait_until(lambda: not processes(home), 30, "a process was left behind")
    return printed


@pytest.mark.parametrize("victims", [VICTIMS[:1], pytest.param(VICTIMS, marks=pytest.mark.soak)], ids=["once", "all"])
def test_a_run_killed_again_and_again_ends_as_the_undisturbed_one(
    world: Any, short: Path, finish: Callable[..., Any], run_locally: Any, victims: tuple[str, ...]
) -> None:
    rng = random.Random(20260101)
    overrides = [*world.overrides, f"rounds={ROUNDS}"]
    whole, _ = run_locally(overrides)
    home = short / f"killed-{len(victims)}"
    arguments = overrides
    for victim in victims:
        printed = kill_after_a_round(home, arguments, victim, rng)
        [folder] = home.glob("runs/*")
        if victim != "simulate":  # which cannot say anything any more
            assert f"resume it with: clinfed simulate resume={folder}" in printed
        arguments = [f"resume={folder.name}"]
    resumed = finish("clinfed", "simulate", "--json", *arguments, home=home, cwd=short, environment={})
    assert resumed.code == 0, resumed.err
    for each in (whole, resumed.record):  # else another adapter is no wonder
        assert [entry["refused"] for entry in each["rounds"]] == [[]] * ROUNDS
        assert [entry["loss"] for entry in each["rounds"]] == [entry["loss"] for entry in whole["rounds"]]
    assert resumed.json["adapter_sha256"] == whole["adapter_sha256"]
    assert [untimed(entry) for entry in resumed.record["rounds"]] == [untimed(entry) for entry in whole["rounds"]]
    assert len(resumed.record["resumed_after"]) == len(victims)


@pytest.mark.soak
def test_a_stopped_comparison_goes_on_with_its_federation(
    world: Any, short: Path, finish: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = short / "compared"
    overrides = [*world.overrides, f"rounds={ROUNDS}"]
    compare = [CLINFED, "compare", *overrides, "compare.rows=federated"]
    with subprocess.Popen(compare, env={**os.environ, "CLINFED_HOME": str(home)}) as stopped:
        row = "comparisons/*/federated/seed-0"
        wait_until(lambda: any(home.glob(f"{row}/*/state/round-*/state.json")), 300, "no checkpoint")
        stopped.terminate()
        assert stopped.wait(60) == 128 + signal.SIGTERM
    wait_until(lambda: not processes(home), 30, "a process was left behind")

    [folder] = home.glob(f"{row}/*/")
    federated = Row("federated", "simulate", settings=resolved(load(overrides)))
    assert federated.interrupted(folder.parents[2], 0) == folder
    assert federated.interrupted(folder.parents[2], 1) is None
    assert replace(federated, settings=resolved(load(overrides[:-1]))).interrupted(folder.parents[2], 0) is None
    with monkeypatch.context() as patched:
        patched.setattr(fingerprints, "code", lambda: "of another version")
        assert federated.interrupted(folder.parents[2], 0) is None
    with monkeypatch.context() as patched:
        patched.setattr(fingerprints, "of_use", lambda run, codes: {"base": "another"})
        assert federated.interrupted(folder.parents[2], 0) is None

    done = finish(
        "clinfed", "compare", "--json", *overrides, "compare.rows=federated", home=home, cwd=short, environment={}
    )
    assert done.code == 0, done.err
    [path] = home.glob(f"{row}/*/record.json")  # no other run beside it
    record = json.loads(path.read_text("utf-8"))
    assert record["resumed_after"]
    assert len(record["rounds"]) == ROUNDS
    assert federated.interrupted(folder.parents[2], 0) is None
