"""Phases of time and rates, with a clock that only moves when told."""

import pytest

from clinfed.probes.seconds import PHASES, PhaseTimer, add_seconds
from clinfed.probes.throughput import Throughput


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_inner_time_is_not_counted_twice() -> None:
    clock = Clock()
    timer = PhaseTimer(clock)
    with timer.phase("train"):
        clock.now += 2
        with timer.phase("serialise"):
            clock.now += 5
        clock.now += 1
    clock.now += 50  # outside every phase
    with timer.phase("train"):
        clock.now += 4
    assert timer.seconds == {**dict.fromkeys(PHASES, 0.0), "train": 7.0, "serialise": 5.0}  # 2 + 1 + 4, not 12


def test_a_phase_that_fails_is_counted_and_left() -> None:
    clock = Clock()
    timer = PhaseTimer(clock)

    def fail() -> None:
        with timer.phase("load"):
            clock.now += 3
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - its text does not matter
        fail()
    clock.now += 10
    assert timer.seconds["load"] == 3.0


def test_the_running_phase_is_seen_so_far() -> None:
    clock = Clock()
    timer = PhaseTimer(clock)
    with timer.phase("evaluate"):
        clock.now += 2
        assert timer.seconds["evaluate"] == 2.0
        clock.now += 1
    assert timer.seconds["evaluate"] == 3.0


def test_unknown_phases_are_refused() -> None:
    with pytest.raises(KeyError, match="expected one of start"), PhaseTimer().phase("lunch"):
        pass


def test_seconds_of_processes_add_up() -> None:
    added = add_seconds({"train": 1.0}, {"train": 2.5, "load": 1.0})
    assert added == {**dict.fromkeys(PHASES, 0.0), "train": 3.5, "load": 1.0}


def test_rates_are_of_sums_and_not_means_of_rates() -> None:
    both = Throughput(10, 100, 1.0) + Throughput(10, 500, 4.0)
    assert both.documents_per_second == 4.0  # 20 / 5; the mean of 10 and 2.5 would be 6.25
    assert both.tokens_per_second == 120.0
    assert Throughput(3, 4, 0.0).documents_per_second == 0.0
