"""A real site's worker: what a round costs beyond training, and when the worker ends."""

import os
import select
import statistics
from typing import Any

import pytest

pytestmark = pytest.mark.deployment

ROUNDS = 4
LIMIT_S = 60
OVERHEAD_S = 20.0  # measured: 9 to 10 on two cores, of which Flower waits 3 s at either end; a cold start costs more


def overheads(record: Any) -> list[float]:
    """Return what rounds took beyond training and judging; the last has an exchange more than the others."""
    return [entry["overhead_s"] for entry in record["rounds"][:-1]]


def test_a_round_costs_little_beyond_training(deployment: Any, world: Any) -> None:
    overrides = " ".join([*world.site_overrides, "clinics=2", f"rounds={ROUNDS}"])
    warm = deployment.record(deployment.run(f"overrides='{overrides}' labels='{world.labels}'"))
    assert (warm["base_loads"], warm["workers"]) == (2, 2)
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
