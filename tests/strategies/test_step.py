"""What a strategy returns is held against the rules; one line names the rule that it breaks."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from strategies.base import ServerState, Strategy
from strategies.fedadam import FedAdam
from strategies.fedavg import FedAvg
from strategies.step import begin, step

START = AdapterState({"encoder.a": np.zeros((2, 3), np.float32), "head.bias": np.zeros(4, np.float32)})
UPDATES = [AdapterUpdate(name, START, 1) for name in ("ca", "es")]
Change = Callable[[ServerState], object]


class Changed(FedAvg):
    """FedAvg whose result is changed."""

    def __init__(self, change: Change) -> None:
        self.change = change

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        return self.change(super().aggregate(server, updates))  # type: ignore[return-value]


def with_bias(array: object) -> Change:
    return lambda done: replace(done, adapter=AdapterState({**done.adapter, "head.bias": np.asarray(array)}))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda done: None, "returned NoneType; return ServerState(adapter, memory, server.round + 1)"),
        (lambda done: replace(done, round=3), "returned round 3, expected 4; return ServerState("),
        (lambda done: replace(done, adapter=dict(done.adapter)), "an adapter that is dict; make it an AdapterState"),
        (
            lambda done: replace(done, adapter=AdapterState({"head.bias": done.adapter["head.bias"]})),
            "returned no tensor encoder.a; return the names of server.adapter",
        ),
        (
            lambda done: replace(done, adapter=AdapterState({**done.adapter, "head.more": np.zeros(1)})),
            "returned a tensor more: head.more; return the names of server.adapter",
        ),
        (with_bias(np.zeros((4, 1), np.float32)), "returned head.bias as float32[4, 1], expected float32[4]"),
        (with_bias(np.zeros(4)), "returned head.bias as float64[4], expected float32[4]; cast_like keeps the dtypes"),
        (with_bias(np.array([0, 0, np.nan, 0], np.float32)), "returned head.bias with values that are not finite"),
        (lambda done: replace(done, memory={"m": [1.0]}), "returned memory 'm' that is no AdapterState"),
    ],
)
def test_a_result_that_breaks_a_rule_is_one_line_that_names_it(change: Change, rule: str) -> None:
    with pytest.raises(UserError) as caught:
        step(Changed(change), ServerState(START, round=3), UPDATES)
    assert str(caught.value).startswith("strategy=test_step: aggregate ")
    assert rule in str(caught.value)
    assert "\n" not in str(caught.value)


class Greedy(FedAvg):
    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        list(updates)
        return super().aggregate(server, updates)


class Lazy(FedAvg):
    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        return ServerState(next(iter(updates)).state, {}, server.round + 1)


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (Greedy(), "aggregate reads the updates a second time; they come one by one, read each once"),
        (Lazy(), "aggregate left updates unread; read each of them once"),
    ],
)
def test_updates_are_read_once_each(strategy: Strategy, rule: str) -> None:
    with pytest.raises(UserError, match=rule.replace("(", r"\(").replace(")", r"\)")):
        step(strategy, ServerState(START), UPDATES)


class Late(FedAvg):
    def start(self, adapter: AdapterState) -> ServerState:
        return ServerState(adapter, round=1)


def test_the_start_is_round_0() -> None:
    with pytest.raises(UserError, match=r"^strategy=test_step: start returned round 1, expected 0; return ServerState"):
        begin(Late(), START)


@pytest.mark.parametrize("strategy", [FedAvg(), FedAdam()])
def test_what_keeps_the_rules_passes(strategy: Strategy) -> None:
    server = step(strategy, begin(strategy, START), UPDATES)
    assert (server.round, server.adapter.shapes) == (1, START.shapes)
