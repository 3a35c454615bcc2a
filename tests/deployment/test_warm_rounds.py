"""What a round costs on real processes, side by side with clinics that answer at once."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clinfed import fingerprints

pytestmark = [pytest.mark.deployment, pytest.mark.timed, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
ROUNDS = 3
POLL_S = 3.0  # how often Flower's SuperNode looks for a message; it then starts a process for it


@pytest.fixture(scope="module")
def instant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the app whose clinics answer at once."""
    folder = tmp_path_factory.mktemp("instant") / "clinfed"
    for package in fingerprints.PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "client" / "app.py").rename(folder / "client" / "whole.py")
    shutil.copy(Path(__file__).with_name("instant.py"), folder / "client" / "app.py")
    return folder


def overheads(record: Any) -> list[float]:
    """Return what rounds took beyond training and evaluating; the last has an exchange more than the others."""
    return [entry["overhead_s"] for entry in record["rounds"][:-1]]


def imports_s() -> float:
    """Return the seconds that imports alone take here and now: a clinic that is not warm adds more to every round."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import clinfed.clinic.work, clinfed.training.model, peft"], cwd=ROOT, check=True
    )
    return time.perf_counter() - started


def test_a_warm_round_costs_little_more_than_one_that_trains_nothing(
    deployment: Any, world: Any, instant: Path
) -> None:
    overrides = " ".join([*world.site_overrides, "clinics=2", f"rounds={ROUNDS}"])
    config = f"overrides='{overrides}' labels='{world.labels}'"
    deployment.run(config)
    warm = deployment.record
    deployment.run(config, app=instant)
    at_once = deployment.record
    assert at_once["adapter_sha256"] != warm["adapter_sha256"]
    cold = min(imports_s(), imports_s())
    print("seconds a round beyond training:", overheads(warm), "answering at once:", overheads(at_once), "cold:", cold)
    assert (warm["base_loads"], warm["workers"]) == (2, 2)
    assert statistics.median(overheads(warm)) <= statistics.median(overheads(at_once)) + cold / 2
    assert statistics.median(overheads(warm)) <= POLL_S + 2 * cold
