"""Real simulations, each run once and looked at by many tests."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import reaper
from clinfed.cli.launch import free_ports, stage
from clinfed.evaluation import record as records

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
FOREIGN = "raise RuntimeError('code of another project was imported')\n"
LIMIT_S = 300


@dataclass
class Finished:
    """A run that has ended, with what it printed and wrote."""

    code: int
    out: str
    err: str
    home: Path  # its CLINFED_HOME
    folders: list[Path] = field(default_factory=list)  # that Flower and Ray wrote to

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out.splitlines()[-1]))

    @property
    def record(self) -> Any:
        [path] = self.home.glob("runs/*/record.json")
        return records.read(path)


@contextmanager
def plain_flower(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a user who types `flwr run` with ports of his own; at the end, stop what was started."""
    mark = uuid.uuid4().hex
    ports = free_ports(2)
    for name in ("flwr", "ray"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    yield {
        **os.environ,
        reaper.VARIABLE: mark,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "CLINFED_HOME": str(folder / "home"),
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(ports[0]),
        "FLWR_LOCAL_CONTROL_API_PORT": str(ports[1]),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_TMPDIR": str(folder / "ray"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    reaper.stop(mark)


def flwr_run(folder: Path, overrides: Sequence[str], *, app: Path, cwd: Path, federation: str = "") -> Finished:
    """Run `flwr run APP --stream` from cwd; folder takes what it writes."""
    command = [str(SCRIPTS / "flwr"), "run", str(app), "--stream"]
    command += ["--run-config", f"overrides='{' '.join(overrides)}'"]
    command += ["--federation-config", federation] if federation else []
    with plain_flower(folder) as environment:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        written = [folder / "flwr", folder / "ray"]
        return Finished(done.returncode, done.stdout, done.stderr, folder / "home", folders=written)


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a short path, as Ray's sockets need."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture(scope="session")
def foreign(short: Path) -> Path:
    """Return a folder with packages of another project that are named like ours; importing one fails."""
    folder = short / "other"
    for package in ("client", "server", "configs"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(FOREIGN, "utf-8")
    return folder


@pytest.fixture(scope="session")
def flwr(short: Path) -> Callable[..., Finished]:
    """Return a function that runs `flwr run` on the checkout: flwr("name", overrides, cwd=..., federation=...)."""

    def run(name: str, overrides: Sequence[str], *, cwd: Path = ROOT, federation: str = "") -> Finished:
        return flwr_run(short / name, overrides, app=ROOT, cwd=cwd, federation=federation)

    return run


@pytest.fixture(scope="session")
def simulated(world: Any, short: Path, foreign: Path) -> Finished:
    """Return `clinfed simulate --json`, started inside another project's folder."""
    home = short / "a"
    environment = {**os.environ, "CLINFED_HOME": str(home)}
    command = [str(SCRIPTS / "clinfed"), "simulate", "--json", *world.overrides]
    done = subprocess.run(command, cwd=foreign, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    return Finished(done.returncode, done.stdout, done.stderr, home)


@pytest.fixture(scope="session")
def plain(world: Any, short: Path) -> Finished:
    """Return plain `flwr run . --stream` in the checkout, of the same run."""
    return flwr_run(short / "b", world.overrides, app=ROOT, cwd=ROOT)


@pytest.fixture(scope="session")
def broken(world: Any, short: Path) -> Finished:
    """Return a run whose clinics raise an exception that quotes a note, in the middle of training."""
    app = stage(short / "app")
    loop = app / "clinfed" / "training" / "local.py"
    healthy = loop.read_text("utf-8")
    # Put together at run time: the words must not stand in the bundle itself.
    sabotage = (
        "            words = ' '.join('canary' + each for each in ('text', 'file', 'patient'))\n"
        "            raise ValueError(str(encoded.notes[0]) + words)\n"
    )
    line = "            batch = batch.to(settings.device)\n"
    assert line in healthy
    loop.write_text(healthy.replace(line, line + sabotage), "utf-8")
    return flwr_run(short / "c", world.overrides, app=app, cwd=short)
