"""Real processes on loopback: a SuperLink and two SuperNodes with files of their own end as the simulation does.

What a round costs there, side by side with clinics that answer at once, and when a site's warm worker ends.
"""

import os
import select
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from clinfed import fingerprints

pytestmark = [pytest.mark.deployment, pytest.mark.timed]

ROOT = Path(__file__).parents[2]
ROUNDS = 3
LIMIT_S = 60
OVERHEAD_S = 10.0  # 5 on two idle cores: Flower's SuperNode looks for a message every 3 s and starts a process for it
SLACK_S = 2.0  # 1 s on an idle machine; loading torch and a base alone takes several


def test_two_real_sites_end_with_the_simulations_adapter(deployment: Any, world: Any, simulated: Any) -> None:
    overrides = " ".join([*world.site_overrides, "clinics=2"])
    printed = deployment.run(f"overrides='{overrides}' labels='{world.labels}'")
    record = deployment.record(printed)
    assert record["adapter_sha256"] == simulated.json["adapter_sha256"]
    assert (record["base_loads"], record["workers"]) == (2, 2), "one for each site, whatever the number of messages"
    assert record["probes"].keys() == simulated.record["probes"].keys()
    for clinic in record["rounds"][-1]["clinics"].values():
        assert clinic["peak_bytes"].keys() == {"training", "inference"}
    assert "pooled_lexicon" not in record["test"], "no real federation may hold it"
    assert "patients" not in record["manifest"]["ca"]


def test_sites_refuse_a_run_that_says_which_notes_to_read(deployment: Any, world: Any) -> None:
    overrides = " ".join([*world.overrides, "clinics=2"])  # with corpus.path
    printed = deployment.run(f"overrides='{overrides}'")
    assert "the site's own settings refuse this run: corpus; leave corpus.* out" in printed
    [detail] = (deployment.folder / "ca" / "home" / "clinic" / "errors").iterdir()
    assert "a clinic reads its own notes" in detail.read_text("utf-8")


def test_no_word_of_a_note_left_a_site(deployment: Any, world: Any) -> None:
    # After the runs above: all that SuperLink, coordinator and user have, and what SuperNodes and workers printed.
    files = [path for name in ("link", "user") for path in (deployment.folder / name).rglob("*") if path.is_file()]
    files += [deployment.folder / name / "output.log" for name in ("ca", "es")]
    files += [deployment.folder / name / "home" / "clinic" / "worker" / "worker.log" for name in ("ca", "es")]
    found = [(word, path) for path in files for word in world.canaries if word.encode() in path.read_bytes()]
    assert found == []


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


def test_a_worker_serves_one_run_and_ends_with_its_supernode(deployment: Any, world: Any) -> None:
    [worker] = deployment.workers("ca")  # of the last run; that of the run before was ended by this one's first message
    handle = os.pidfd_open(worker)
    deployment.stop_node("ca")
    try:
        assert select.select([handle], [], [], LIMIT_S)[0], "it outlives its SuperNode"
    finally:
        os.close(handle)
        deployment.start_node("ca", world.node_config("ca"))
