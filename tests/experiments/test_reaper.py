"""What a simulation started is found again: by the mark in its environment, or by the folder where it works."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clinfed.experiments import reaper

# Keeps a checkpoint when it is told to end.
SERVER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1]).touch(), sys.exit(1)))
print("ready", flush=True)
time.sleep(300)
"""
Sleeper = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    """Return a function that starts a process which does nothing: sleeper(cwd, environment)."""
    started = []

    def start(cwd: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        cwd.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-c", "import time; time.sleep(300)"]
        started.append(subprocess.Popen(command, cwd=cwd, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


def test_marked_processes_end_wherever_they_work(sleeper: Sleeper, mark: str, tmp_path: Path) -> None:
    ours = sleeper(tmp_path / "anywhere", {reaper.VARIABLE: mark})
    others = sleeper(tmp_path / "anywhere", {reaper.VARIABLE: "another"})
    stop_and_wait(ours, mark, None)
    assert others.poll() is None


# Ray's agents write their title over the environment that they inherited.
def test_a_process_that_lost_its_environment_ends_where_it_works_inside_the_folder(
    sleeper: Sleeper, mark: str, tmp_path: Path
) -> None:
    agent = sleeper(tmp_path / "run" / "superlink", {})
    neighbour = sleeper(tmp_path / "run-2", {})
    visitor = sleeper(tmp_path / "run", {"SHELL": "/bin/sh"})  # somebody's shell, who looks around in the folder
    assert reaper.marked(mark) == []
    stop_and_wait(agent, mark, tmp_path / "run")
    assert (neighbour.poll(), visitor.poll()) == (None, None)


# Its workers end at the same moment. A server that notices would leave their clinics out and keep that round.
def test_the_server_has_no_time_to_see_its_workers_end(mark: str, tmp_path: Path) -> None:
    script, written = tmp_path / "flwr-simulation", tmp_path / "checkpoint"
    script.write_text(SERVER, "utf-8")
    command = [sys.executable, "-I", str(script), str(written)]
    with subprocess.Popen(command, env={reaper.VARIABLE: mark}, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        reaper.stop(mark)
        assert server.wait(60) != 0
    assert not written.exists()


def test_the_end_of_the_commands_pipe_is_the_end_of_all(sleeper: Sleeper, mark: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    agent = sleeper(folder / "superlink", {})
    command = [sys.executable, "-I", reaper.__file__, mark, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=os.sep) as watcher:
        threading.Event().wait(0.5)
        assert agent.poll() is None, "it waits"
        watcher.communicate(timeout=60)
    assert agent.wait(60) != 0
    assert not folder.exists()


def stop_and_wait(process: "subprocess.Popen[bytes]", mark: str, folder: Path | None) -> None:
    """Stop the processes; this one is a child of the test, which must take its exit status for it to be gone."""
    taker = threading.Thread(target=process.wait)
    taker.start()
    started = time.monotonic()
    reaper.stop(mark, folder)
    taker.join(60)
    assert process.returncode is not None
    assert time.monotonic() - started < reaper.GRACE_S, "a polite signal was enough"
