"""Real processes on loopback: a SuperLink and two SuperNodes with files of their own end as the simulation does.

And when a site's warm worker ends.
"""

import os
import select
from typing import Any

import pytest

pytestmark = pytest.mark.deployment

LIMIT_S = 60


def test_two_real_sites_end_with_the_adapter_of_one_process(deployment: Any, world: Any, run_locally: Any) -> None:
    local, _ = run_locally(world.overrides)
    overrides = " ".join([*world.site_overrides, "clinics=2"])
    deployment.run(f"overrides='{overrides}' labels='{world.labels}'")
    record = deployment.record
    assert record["adapter_sha256"] == local["adapter_sha256"]
    assert (record["base_loads"], record["workers"]) == (2, 2), "one for each site, whatever the number of messages"
    assert record["probes"].keys() == local["probes"].keys()
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


def test_a_worker_serves_one_run_and_ends_with_its_supernode(deployment: Any, world: Any) -> None:
    [worker] = deployment.workers("ca")  # of the last run; that of the run before was ended by this one's first message
    handle = os.pidfd_open(worker)
    deployment.stop_node("ca")
    try:
        assert select.select([handle], [], [], LIMIT_S)[0], "it outlives its SuperNode"
    finally:
        os.close(handle)
        deployment.start_node("ca", world.node_config("ca"))
