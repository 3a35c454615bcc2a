"""Real simulations by plain `flwr run`, each run once and looked at by many tests."""

import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clinfed.experiments import reaper
from clinfed.experiments.launch import free_ports, stage

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent

Finish = Callable[..., Any]


@contextmanager
def plain_flower(folder: Path) -> Iterator[dict[str, str]]:
    """Yield what a user sets who types `flwr run` with ports of his own; at the end, stop what was started."""
    mark = uuid.uuid4().hex
    ports = free_ports(2)
    for name in ("flwr", "ray"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {
        reaper.VARIABLE: mark,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(ports[0]),
        "FLWR_LOCAL_CONTROL_API_PORT": str(ports[1]),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_TMPDIR": str(folder / "ray"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    try:
        yield environment
    finally:
        reaper.stop(mark)


@pytest.fixture(scope="session")
def flwr(short: Path, finish: Finish) -> Callable[..., Any]:
    """Return a function that runs `flwr run APP --stream` from cwd: flwr("name", overrides); both are the checkout."""

    def run(name: str, overrides: Sequence[str], *, app: Path = ROOT, cwd: Path = ROOT, federation: str = "") -> Any:
        folder = short / name
        command = ["flwr", "run", str(app), "--stream", "--run-config", f"overrides='{' '.join(overrides)}'"]
        command += ["--federation-config", federation] if federation else []
        with plain_flower(folder) as environment:
            written = [folder / "flwr", folder / "ray"]
            return finish(*command, home=folder / "home", cwd=cwd, environment=environment, folders=written)

    return run


@pytest.fixture(scope="session")
def plain(world: Any, flwr: Callable[..., Any]) -> Any:
    """Return plain `flwr run . --stream` in the checkout, of the same run."""
    return flwr("b", world.overrides)


@pytest.fixture(scope="session")
def broken(world: Any, short: Path, flwr: Callable[..., Any]) -> Any:
    """Return a run whose clinics raise an exception that quotes a note, in the middle of training."""
    app = stage(short / "app")
    loop = app / "clinfed" / "training" / "loop.py"
    healthy = loop.read_text("utf-8")
    # Put together at run time: the words must not stand in the bundle itself.
    sabotage = (
        "            words = ' '.join('canary' + each for each in ('text', 'file', 'patient'))\n"
        "            raise ValueError(str(encoded.notes[0]) + words)\n"
    )
    line = "            batch = task.collate(encoded.rows, plan[step], pad_id).to(settings.device)\n"
    assert line in healthy
    loop.write_text(healthy.replace(line, line + sabotage), "utf-8")
    return flwr("c", world.overrides, app=app, cwd=short)
