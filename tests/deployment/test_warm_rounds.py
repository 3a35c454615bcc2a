"""What a round costs on real processes, side by side with clinics that answer at once."""

import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from clinfed import fingerprints

pytestmark = [pytest.mark.deployment, pytest.mark.timed]

ROOT = Path(__file__).parents[2]
ROUNDS = 3
OVERHEAD_S = 10.0  # 5 on two idle cores: Flower's SuperNode looks for a message every 3 s and starts a process for it
SLACK_S = 2.0  # 1 s on an idle machine; loading torch and a base alone takes several


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
    """Return what rounds took beyond training and judging; the last has an exchange more than the others."""
    return [entry["overhead_s"] for entry in record["rounds"][:-1]]


def test_a_warm_round_costs_little_more_than_one_that_trains_nothing(
    deployment: Any, world: Any, instant: Path
) -> None:
    overrides = " ".join([*world.site_overrides, "clinics=2", f"rounds={ROUNDS}"])
    config = f"overrides='{overrides}' labels='{world.labels}'"
    warm = deployment.record(deployment.run(config))
    at_once = deployment.record(deployment.run(config, app=instant))
    assert at_once["adapter_sha256"] != warm["adapter_sha256"]
    print("seconds a round beyond training:", overheads(warm), "answering at once:", overheads(at_once))
    assert (warm["base_loads"], warm["workers"]) == (2, 2)
    assert statistics.median(overheads(warm)) <= statistics.median(overheads(at_once)) + SLACK_S
    assert statistics.median(overheads(warm)) <= OVERHEAD_S
