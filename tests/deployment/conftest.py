"""A federation of real processes on loopback, which the tests of this folder share."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clinfed.experiments import reaper
from clinfed.experiments.launch import answers, free_ports
from clinfed.runs import record as records

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
LIMIT_S = 400


class Deployment:
    """A SuperLink and its SuperNodes, each with a home of its own; a mark in their environment finds them all again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.port, *self.node_ports = free_ports(3)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """Return what a process sees on its own machine."""
        for kind in ("flwr", "home"):
            (self.folder / name / kind).mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            reaper.VARIABLE: self.mark,
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "FLWR_HOME": str(self.folder / name / "flwr"),
            "CLINFED_HOME": str(self.folder / name / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",  # as docs/flower.md advises
        }

    def start(self, name: str, *command: str) -> None:
        """Start a process; its output goes to a file in its own folder."""
        environment = self.environment(name)
        with (self.folder / name / "output.log").open("ab") as log:
            process = subprocess.Popen(
                [str(SCRIPTS / command[0]), *command[1:]],
                env=environment,
                cwd=self.folder / name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process

    def start_link(self) -> None:
        """Start the SuperLink and wait until it answers."""
        # With it a SuperLink that was killed still knows its SuperNodes, and they connect again by themselves.
        kept = ["--database", str(self.folder / "link" / "state.db")]
        self.start("link", "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(self.port), *kept)
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{self.port}/health"):
            assert time.monotonic() < deadline, (self.folder / "link" / "output.log").read_text()
            threading.Event().wait(0.1)

    def start_node(self, name: str, node_config: str) -> None:
        """Start a clinic's SuperNode."""
        link, port = f"127.0.0.1:{self.port}", str(self.node_ports.pop(0))
        arguments = ["--insecure", "--superlink", link, "--port", port, "--node-config", node_config]
        self.start(name, "flower-supernode", *arguments)

    def stop_node(self, name: str) -> None:
        """Stop a clinic's SuperNode as its operator does; it leaves the federation."""
        process = self.processes[name]
        process.terminate()
        process.wait(60)
        self.node_ports += free_ports(1)

    def workers(self, name: str) -> list[int]:
        """Return the processes of a clinic's warm workers."""
        folder = self.folder / name / "home" / "clinic" / "worker"
        return [pid for pid in reaper.marked(self.mark) if Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()]

    def run(self, run_config: str, app: Path = ROOT, limit_s: float = LIMIT_S) -> str:
        """Run an app on the federation; return what `flwr run --stream` printed."""
        environment = self.environment("user")
        config = (
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )
        (self.folder / "user" / "flwr" / "config.toml").write_text(config, "utf-8")
        command = [str(SCRIPTS / "flwr"), "run", str(app), "--stream", "--run-config", run_config]
        done = subprocess.run(
            command, env=environment, cwd=self.folder / "user", capture_output=True, text=True, timeout=limit_s
        )
        return done.stdout + done.stderr

    @property
    def record(self) -> Any:
        """Return the record of the run that has ended last."""
        written = (self.folder / "link" / "home" / "runs").glob("*/record.json")
        return records.read(max(written, key=lambda path: path.stat().st_mtime_ns))

    def stop(self) -> None:
        """Stop all processes."""
        reaper.stop(self.mark)
        for process in self.processes.values():
            process.wait()


@pytest.fixture(scope="module")
def deployment(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a SuperLink with two SuperNodes, "ca" and "es", that hold the simulation's notes in their own files."""
    deployed = Deployment(tmp_path_factory.mktemp("deployed"))
    try:
        deployed.start_link()
        for name in ("es", "ca"):  # not in the order of names
            deployed.start_node(name, world.node_config(name))
        yield deployed
    finally:
        deployed.stop()
