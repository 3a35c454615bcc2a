"""The laws that every strategy keeps: a new file in strategies/ is tested the moment it exists."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate, Payload
from configs.discovery import options, plugin_class
from strategies.base import ServerState, Strategy
from tests.strategies.rounds import LARGEST, SHAPES, answer, random_state, report_of, sent

MADE = [plugin_class("strategy", name)() for name in options("strategy")]
EVERY = pytest.mark.parametrize("strategy", MADE, ids=repr)


def hashes(server: ServerState) -> list[str]:
    return [server.adapter.sha256(), *(state.sha256() for state in server.memory.values())]


@EVERY
@settings(max_examples=25, deadline=None)
@given(order=st.permutations([1, 2, 3, 4, 5]))
def test_any_order_gives_the_same_up_to_rounding(strategy: Strategy, order: list[int]) -> None:
    start = strategy.start(random_state(0))
    result = strategy.aggregate(start, (sent(strategy, start, seed) for seed in order)).adapter
    expected = strategy.aggregate(start, (sent(strategy, start, seed) for seed in range(1, 6))).adapter
    for name in SHAPES:
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-6, atol=1e-7)


@EVERY
def test_the_same_updates_give_the_same_state_bit_for_bit(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    states = [strategy.aggregate(start, [sent(strategy, start, seed) for seed in (3, 1, 2)]) for _ in range(2)]
    assert hashes(states[0]) == hashes(states[1])


@EVERY
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_each_round_keeps_names_shapes_and_types_and_is_counted(strategy: Strategy, dtype: str) -> None:
    server = first = strategy.start(random_state(0, dtype))
    for seed in (1, 2):
        server = strategy.aggregate(server, [sent(strategy, server, seed + more, dtype) for more in (0, 5)])
        assert server.round == seed
        assert server.adapter.shapes == first.adapter.shapes
        assert {name: state.shapes for name, state in server.memory.items()} == {
            name: state.shapes for name, state in first.memory.items()
        }


@EVERY
def test_a_clinics_state_has_its_names_from_the_first_on(strategy: Strategy) -> None:
    server = strategy.start(random_state(0))
    first = strategy.first(strategy.broadcast(server))
    _, client_state = answer(strategy, server, random_state(1), notes=3)
    assert (first.round, client_state.round) == (0, 1)
    assert {name: state.shapes for name, state in first.memory.items()} == {
        name: state.shapes for name, state in client_state.memory.items()
    }


@EVERY
def test_arguments_are_not_changed(strategy: Strategy) -> None:
    server = read_only(strategy.start(read_only(random_state(0))))
    received = read_only(strategy.broadcast(server))
    client_state = read_only(strategy.first(received))
    payload, after = strategy.update(received, read_only(random_state(1)), client_state, report_of(1, 3))
    read_only(after)
    strategy.limits(received, LARGEST)
    updates = [AdapterUpdate(clinic, payload.adapter, 3, 4, payload.extra) for clinic in "ab"]
    before = [*hashes(server), *(update.payload.flat.sha256() for update in updates)]
    strategy.aggregate(server, [replace(update, state=read_only(update.state)) for update in updates])
    assert [*hashes(server), *(update.payload.flat.sha256() for update in updates)] == before


def read_only(value: Any) -> Any:
    """Return the value, whose arrays raise where they are written to."""
    if isinstance(value, AdapterState):
        for array in value.values():
            array.flags.writeable = False
    elif isinstance(value, Mapping):
        [read_only(each) for each in value.values()]
    elif isinstance(value, Payload):
        read_only(value.adapter), read_only(value.extra)
    else:
        read_only(value.memory)
    return value


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused_by_its_clinics_name(strategy: Strategy, value: float) -> None:
    start = strategy.start(random_state(0))
    broken = with_tensors(sent(strategy, start, 2), {"encoder.x.lora_B.weight": np.full((3, 2), value, np.float32)})
    with pytest.raises(ValueError, match=r"Vic: encoder\.x\.lora_B\.weight holds values that are not finite"):
        strategy.aggregate(start, [sent(strategy, start, 1), broken])


def with_tensors(update: AdapterUpdate, tensors: Mapping[str, np.ndarray]) -> AdapterUpdate:
    return replace(update, clinic="Vic", state=AdapterState({**update.state, **tensors}))


@EVERY
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"encoder.x.lora_B.weight": np.zeros((1, 2), np.float32)}, r"Vic: encoder\S+ has shape \(1, 2\), expected"),
        ({"head.bias": np.zeros(3, np.float32)}, r"Vic: head\.bias has shape \(3,\), expected \(\)"),
        ({"head.new": np.zeros(4, np.float32)}, r"Vic: tensor head\.new is not expected"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(
    strategy: Strategy, tensors: dict[str, np.ndarray], message: str
) -> None:
    start = strategy.start(random_state(0))
    with pytest.raises(ValueError, match=message):
        strategy.aggregate(start, [with_tensors(sent(strategy, start, 1), tensors)])


@EVERY
def test_a_missing_tensor_is_refused(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    update = replace(sent(strategy, start, 1), clinic="Vic")
    fewer = AdapterState({name: array for name, array in update.state.items() if name != "head.bias"})
    with pytest.raises(ValueError, match=r"Vic: tensor head\.bias is missing"):
        strategy.aggregate(start, [replace(update, state=fewer)])


@EVERY
@pytest.mark.parametrize("num_updates", [0, 2])
def test_no_notes_at_all_are_refused(strategy: Strategy, num_updates: int) -> None:
    start = strategy.start(random_state(0))
    updates = [replace(sent(strategy, start, seed), num_examples=0) for seed in range(num_updates)]
    with pytest.raises(ValueError, match="no training notes"):
        strategy.aggregate(start, updates)


@EVERY
def test_a_negative_number_of_notes_is_refused(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    with pytest.raises(ValueError, match="Vic: num_examples is -1"):
        strategy.aggregate(start, [replace(sent(strategy, start, 1), clinic="Vic", num_examples=-1)])


@EVERY
def test_going_on_from_a_state_equals_not_having_stopped(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    middle = strategy.aggregate(start, [sent(strategy, start, 1), sent(strategy, start, 2)])
    copied = ServerState(copied_of(middle.adapter), {n: copied_of(s) for n, s in middle.memory.items()}, middle.round)
    updates = [sent(strategy, middle, 3), sent(strategy, middle, 4)]
    straight, resumed = strategy.aggregate(middle, updates), type(strategy)().aggregate(copied, updates)
    assert hashes(straight) == hashes(resumed)


def copied_of(state: AdapterState) -> AdapterState:
    return AdapterState({name: array.copy() for name, array in state.items()})
