"""Real processes on loopback: a SuperLink and two SuperNodes with files of their own end as the simulation does."""

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

from clinfed.cli import reaper
from clinfed.cli.launch import answers, free_ports
from clinfed.evaluation import record as records

pytestmark = pytest.mark.deployment

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
LIMIT_S = 400


class Deployment:
    """A SuperLink and its SuperNodes, each with a home of its own; a mark in their environment finds them all again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.port, *self.node_ports = free_ports(3)
        self.processes: list[subprocess.Popen[bytes]] = []

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
        }

    def start(self, name: str, *command: str) -> None:
        """Start a process; its output goes to a file in its own folder."""
        environment = self.environment(name)
        with (self.folder / name / "output.log").open("wb") as log:
            process = subprocess.Popen(
                [str(SCRIPTS / command[0]), *command[1:]],
                env=environment,
                cwd=self.folder / name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)

    def start_link(self) -> None:
        """Start the SuperLink and wait until it answers."""
        self.start("link", "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(self.port))
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{self.port}/health"):
            assert time.monotonic() < deadline, (self.folder / "link" / "output.log").read_text()
            threading.Event().wait(0.1)

    def start_node(self, name: str, node_config: str) -> None:
        """Start a clinic's SuperNode."""
        link, port = f"127.0.0.1:{self.port}", str(self.node_ports.pop())
        arguments = ["--insecure", "--superlink", link, "--port", port, "--node-config", node_config]
        self.start(name, "flower-supernode", *arguments)

    def run(self, run_config: str) -> str:
        """Run the app on the federation; return what `flwr run --stream` printed."""
        environment = self.environment("user")
        config = (
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )
        (self.folder / "user" / "flwr" / "config.toml").write_text(config, "utf-8")
        command = [str(SCRIPTS / "flwr"), "run", str(ROOT), "--stream", "--run-config", run_config]
        done = subprocess.run(
            command, env=environment, cwd=self.folder / "user", capture_output=True, text=True, timeout=LIMIT_S
        )
        return done.stdout + done.stderr

    def stop(self) -> None:
        """Stop all processes."""
        reaper.stop(self.mark)
        for process in self.processes:
            process.wait()


@pytest.fixture(scope="module")
def deployment(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a SuperLink with two SuperNodes, "ca" and "es", that hold the simulation's notes in their own files."""
    deployed = Deployment(tmp_path_factory.mktemp("deployed"))
    try:
        deployed.start_link()
        for name in ("es", "ca"):  # not in the order of names
            deployed.start_node(name, f'name="{name}" notes="{world.site_notes(name)}" labels="{world.labels}"')
        yield deployed
    finally:
        deployed.stop()


def test_two_real_sites_end_with_the_simulations_adapter(deployment: Deployment, world: Any, simulated: Any) -> None:
    overrides = " ".join([*world.site_overrides, "clinics=2"])
    printed = deployment.run(f"overrides='{overrides}' labels='{world.labels}'")
    found = list((deployment.folder / "link" / "home").glob("runs/*/record.json"))
    assert len(found) == 1, printed
    record = records.read(found[0])
    assert record["adapter_sha256"] == simulated.json["adapter_sha256"]
    assert record["base_loads"] == record["workers"]
    assert "pooled_lexicon" not in record["test"], "no real federation may hold it"
    assert "patients" not in record["manifest"]["ca"]


def test_sites_refuse_a_run_that_says_which_notes_to_read(deployment: Deployment, world: Any) -> None:
    overrides = " ".join([*world.overrides, "clinics=2"])  # with corpus.path
    printed = deployment.run(f"overrides='{overrides}'")
    assert "the site's own settings refuse this run: corpus; leave corpus.* out" in printed
    [detail] = (deployment.folder / "ca" / "home" / "clinic" / "errors").iterdir()
    assert "a clinic reads its own notes" in detail.read_text("utf-8")


def test_no_word_of_a_note_left_a_site(deployment: Deployment, world: Any) -> None:
    # After the runs above: everything that SuperLink, coordinator and user have, and what the SuperNodes printed.
    files = [path for name in ("link", "user") for path in (deployment.folder / name).rglob("*") if path.is_file()]
    files += [deployment.folder / name / "output.log" for name in ("ca", "es")]
    found = [(word, path) for path in files for word in world.canaries if word.encode() in path.read_bytes()]
    assert found == []
