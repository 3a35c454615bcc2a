"""One of three real sites is hostile: it names itself honestly, runs the honest code, and lies in every answer."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import reaper
from server.quarantine import Reason

pytestmark = pytest.mark.deployment

HOSTILE = Path(__file__).parent / "hostile"
LIAR = "mallory"
ROUNDS = ("rounds=4", "training.schedule=constant")
MB = 2**20


class Peak(threading.Thread):
    """The highest resident memory of the coordinator's process, which lives as long as a run."""

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self.mark, self.peak_bytes, self.over = mark, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            for pid in reaper.marked(self.mark):
                self.peak_bytes = max(self.peak_bytes, peak_of(pid))


def peak_of(pid: int) -> int:
    """Return a coordinator's highest resident bytes so far, 0 for another process or one that has ended."""
    try:
        if b"flwr-serverapp" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return max((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), default=0)


def run_and_measure(federation: Any, world: Any, clinics: int) -> tuple[Any, int, str]:
    """Return a run's record, its coordinator's peak memory, and what it printed."""
    overrides = " ".join([*world.site_overrides, *ROUNDS, f"clinics={clinics}", "round.deadline_s=90"])
    peak = Peak(federation.mark)
    peak.start()
    printed = federation.run(f"overrides='{overrides}' labels='{world.labels}'")
    peak.over.set()
    peak.join()
    return federation.record(printed), peak.peak_bytes, printed


@pytest.fixture(scope="module")
def runs(deployment: Any, world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """Return two runs of one federation: of the honest sites alone, and after the hostile one has joined."""
    own = type(deployment)(tmp_path_factory.mktemp("malicious"))
    own.node_ports += type(deployment)(tmp_path_factory.mktemp("ports")).node_ports
    try:
        own.start_link()
        for name in ("ca", "es"):
            own.start_node(name, world.node_config(name))
        alone = run_and_measure(own, world, 2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join([str(HOSTILE), *os.environ.get("PYTHONPATH", "").split()]))
            own.start_node(LIAR, world.node_config("es").replace('name="es"', f'name="{LIAR}"'))
        yield alone, run_and_measure(own, world, 3)
    finally:
        own.stop()


def test_the_honest_sites_end_with_the_adapter_they_would_have_alone(runs: Any) -> None:
    (alone, *_), (beside, *_) = runs
    assert beside["adapter_sha256"] == alone["adapter_sha256"]
    assert beside["test"]["federated"]["all"]["micro"] == alone["test"]["federated"]["all"]["micro"]
    assert [sorted(entry["clinics"]) for entry in beside["rounds"]] == [["ca", "es"]] * 4


def test_each_lie_is_named_in_the_record_with_its_site(runs: Any) -> None:
    _, (record, _, printed) = runs
    refused = [entry["refused"] for entry in record["rounds"]]
    assert {each["clinic"] for entry in [*refused, record["test_refused"]] for each in entry} == {LIAR}
    reasons = [[each["reason"] for each in entry] for entry in refused]
    assert reasons == [
        [Reason.NOT_FINITE],
        [Reason.OVERSIZED],
        [Reason.REPLAYED],
        [Reason.OUT_OF_REACH, Reason.COUNTS],  # the fourth training, then the last validation
    ]
    assert [each["reason"] for each in record["test_refused"]] == [Reason.LATE]
    assert f"clinic {LIAR} left out: {Reason.OVERSIZED}" in printed


def test_a_huge_answer_costs_the_coordinator_no_memory(runs: Any) -> None:
    # 600 MB of zeros were sent as 5 MB; Flower's own pull would hold them twice.
    (record, before_bytes, _), (_, after_bytes, _) = runs
    model_bytes = record["bytes_up"] // 4 // 2  # of one clinic in one round
    assert before_bytes > 50 * MB, "the coordinator was found"
    assert after_bytes - before_bytes <= 2 * model_bytes + 200 * MB
