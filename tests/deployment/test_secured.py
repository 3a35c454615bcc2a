"""What `clinfed deploy init` writes, started on loopback by its own scripts: TLS on, registered keys only."""

import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main, reaper
from clinfed.cli.launch import free_ports
from clinfed.deploy.certificates import Authority, write_site_keys
from clinfed.evaluation import record as records

pytestmark = pytest.mark.deployment

SITES = ("ca", "es")
LIMIT_S = 300.0  # for one step; seconds on an idle machine


class Federation:
    """A coordinator and its sites on this machine, each in the folder that was written for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coordinator = folder / "coordinator"
        self.mark = uuid.uuid4().hex
        self.gate, self.control = free_ports(2)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = ["--port", str(self.gate), "--control-port", str(self.control)]
        names = ["--sites", ",".join(SITES), "--host", "127.0.0.1", "--place", str(folder)]
        assert main(["deploy", "init", *names, *ports, "-o", str(folder)]) == 0

    def environment(self) -> dict[str, str]:
        node_port = str(free_ports(1)[0])
        return {**os.environ, reaper.VARIABLE: self.mark, "CLINFED_VENV": sys.prefix, "CLINFED_NODE_PORT": node_port}

    def start(self, name: str, *command: str | Path) -> None:
        """Start a script or command; what it prints goes to NAME.log beside the folders."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(each) for each in command],
                env=self.environment(),
                cwd=self.folder,  # no script may depend on where it is started
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", errors="replace")

    def type(self, *command: str) -> str:
        """Run a script of the coordinator to its end; return what it printed."""
        arguments = [str(self.coordinator / command[0]), *command[1:]]
        done = subprocess.run(
            arguments, env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S
        )
        return done.stdout + done.stderr

    def nodes(self) -> dict[str, str]:
        """Return node id -> status, as the coordinator sees them."""
        printed = self.type("flwr.sh", "supernode", "list", "--format", "json")
        return {node["node-id"]: node["status"] for node in json.loads(printed)["nodes"]}

    def wait(self, until: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < deadline, self.log(name)
            threading.Event().wait(0.1)

    def is_healthy(self, port: int) -> bool:
        context = ssl.create_default_context(cafile=self.coordinator / "ca.crt")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            return bool(opener.open(f"https://127.0.0.1:{port}/health", timeout=5).status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        reaper.stop(self.mark)
        for process in self.processes.values():
            process.wait()


@pytest.fixture(scope="module")
def federation(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation whose two sites are registered and online."""
    federation = Federation(tmp_path_factory.mktemp("f") / "federation")
    for site in SITES:
        settings = federation.folder / site / "site.toml"
        text = settings.read_text("utf-8").replace('"/data/notes"', f'"{world.site_notes(site)}"')
        settings.write_text(text.replace('# labels = "/data/codes.json"', f'labels = "{world.labels}"'), "utf-8")
    (federation.coordinator / "codes.json").write_bytes(world.labels.read_bytes())
    try:
        for name, port in (("superlink", federation.control), ("gate", federation.gate)):
            federation.start(name, federation.coordinator / f"{name}.sh")
            federation.wait(lambda port=port: federation.is_healthy(port), name)
        assert federation.type("register.sh").count("registered as node") == len(SITES)
        for site in SITES:
            federation.start(site, federation.folder / site / "supernode.sh")
        for site in SITES:
            federation.wait(lambda site=site: "SuperNode ID" in federation.log(site), site)
        yield federation
    finally:
        federation.stop()
