"""What each strategy promises, by its class attributes, its schema and its limits, is checked for every file."""

import gc
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clinfed.adapters.qlora import Qlora
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import EXTRA, AdapterUpdate, Payload
from clinfed.errors import UserError
from configs import Run, load
from configs.discovery import options, plugin_class
from strategies.base import ServerState, Strategy
from strategies.fedavg import FedAvg
from tests.strategies.rounds import LARGEST, RATES, SHAPES, random_state, sent

NAMES = {name: plugin_class("strategy", name) for name in options("strategy")}
MADE = [made() for made in NAMES.values()]


def those(made: list[Strategy]) -> Any:
    return pytest.mark.parametrize("strategy", made, ids=repr)


EVERY = those(MADE)
AVERAGING = those([made for made in MADE if made.averages])
STREAMING = those([made for made in MADE if made.streaming])
LINEAR = those([made for made in MADE if made.linear])
SINGLE = those([made for made in MADE if made.single_updates])
WITH_GRADIENT = those([made for made in MADE if made.changes_gradients])


@AVERAGING
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_update_in_is_that_update_out(strategy: Strategy, dtype: str) -> None:
    start = strategy.start(random_state(0, dtype))
    for seed in range(1, 98):  # all weights 1 ... 97; 49 * (1/49) is not 1 in floating point
        update = sent(strategy, start, seed, dtype)
        expected = AdapterState({**start.adapter, **update.state})
        assert strategy.aggregate(start, [update]).adapter.sha256() == expected.sha256()


@AVERAGING
def test_equal_updates_come_out_as_they_are(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    updates = [replace(sent(strategy, start, 7), num_examples=notes) for notes in (3, 10, 49, 1000)]
    expected = AdapterState({**start.adapter, **updates[0].state})
    assert strategy.aggregate(start, updates).adapter.sha256() == expected.sha256()


@EVERY
def test_what_travels_is_what_the_schema_says(strategy: Strategy) -> None:
    server = strategy.start(random_state(0))
    for index in (1, 2):
        schema = strategy.schema(server.adapter.shapes, index)
        updates = [sent(strategy, server, seed) for seed in (1, 2, 3)]
        assert strategy.broadcast(server).flat.shapes == schema.down
        assert strategy.broadcast(server).adapter.sha256() == server.adapter.sha256()  # what is evaluated goes down
        assert [update.payload.flat.shapes for update in updates] == 3 * [schema.up]
        server = strategy.aggregate(server, updates)


@EVERY
def test_what_does_not_train_does_not_travel_up_and_stays(strategy: Strategy) -> None:
    server = strategy.start(random_state(0))
    update = sent(strategy, server, 1)
    assert set(update.state) == {name for name in SHAPES if strategy.trainable(name, 1)}
    after = strategy.aggregate(server, [update]).adapter
    for name in set(SHAPES) - set(update.state):
        assert np.array_equal(after[name], server.adapter[name])


@EVERY
def test_each_extra_tensor_has_limits_that_honest_ones_keep(strategy: Strategy) -> None:
    server = strategy.start(random_state(0))
    for seed in range(1, 6):
        limits = strategy.limits(strategy.broadcast(server), LARGEST)
        flat = sent(strategy, server, seed).payload.flat
        assert limits.keys() == {name for name in flat if name.startswith(EXTRA)}
        for name, (centre, radius) in limits.items():
            assert np.broadcast_shapes(np.shape(centre), np.shape(radius)) == flat[name].shape
            assert np.isfinite(radius).all()
            assert (np.abs(flat[name] - centre) <= radius).all()
        server = strategy.aggregate(server, [sent(strategy, server, seed)])


@STREAMING
def test_updates_are_read_once_and_let_go(strategy: Strategy) -> None:
    start = strategy.start(random_state(0))
    alive: list[weakref.ref[np.ndarray]] = []

    def stream() -> Iterator[AdapterUpdate]:
        for seed in range(1, 7):
            gc.collect()
            assert sum(array() is not None for array in alive) <= 1  # the one that was read last
            update = sent(strategy, start, seed)
            alive.append(weakref.ref(update.state["encoder.x.lora_B.weight"]))
            yield update
            del update

    strategy.aggregate(start, stream())
    assert len(alive) == 6


@LINEAR
def test_only_the_weighted_sum_of_the_payloads_counts(strategy: Strategy) -> None:
    assert not strategy.single_updates
    start = strategy.start(random_state(0))
    updates = [sent(strategy, start, seed) for seed in (1, 2, 3)]
    shift = {name: np.asarray(array + 1, array.dtype) for name, array in updates[0].payload.flat.items()}
    # Two notes times -3 and three times 2: the sum stays.
    moved = [shifted(updates[0], -3, shift), shifted(updates[1], 2, shift), updates[2]]
    assert [update.num_examples for update in updates] == [2, 3, 4]
    first, second = (strategy.aggregate(start, each) for each in (updates, moved))
    for name, array in first.adapter.items():
        np.testing.assert_allclose(second.adapter[name], array, rtol=1e-4, atol=1e-5)
    for called, state in first.memory.items():
        for name, array in state.items():
            np.testing.assert_allclose(second.memory[called][name], array, rtol=1e-4, atol=1e-5)


def shifted(update: AdapterUpdate, times: float, by: Mapping[str, np.ndarray]) -> AdapterUpdate:
    flat = {name: np.asarray(array + times * by[name], array.dtype) for name, array in update.payload.flat.items()}
    payload = Payload.of(AdapterState(flat))
    return replace(update, state=payload.adapter, extra=payload.extra)


@SINGLE
def test_who_must_see_single_updates_finds_more_in_them_than_their_sum(strategy: Strategy) -> None:
    """One of three clinics moves by 3, or each of them by 1: the sum is the same, and the next adapter is not."""
    assert not strategy.linear
    start = strategy.start(random_state(0))
    apart = strategy.aggregate(start, [moved(start, 3.0), moved(start, 0.0), moved(start, 0.0)])
    together = strategy.aggregate(start, [moved(start, 1.0) for _ in range(3)])
    assert apart.adapter.sha256() != together.adapter.sha256()


def moved(server: ServerState, by: float) -> AdapterUpdate:
    state = {name: np.asarray(array + by, array.dtype) for name, array in server.adapter.items()}
    return AdapterUpdate(f"clinic-{by}", AdapterState(state), 1)


class Plain:
    """A number that knows +, - and * only, as a strategy's gradient may ask of the loop's tensors."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __add__(self, other: "Plain | float") -> "Plain":
        return Plain(self.value + getattr(other, "value", other))

    def __sub__(self, other: "Plain | float") -> "Plain":
        return Plain(self.value - getattr(other, "value", other))

    def __mul__(self, other: "Plain | float") -> "Plain":
        return Plain(self.value * getattr(other, "value", other))

    __radd__, __rmul__ = __add__, __mul__


@WITH_GRADIENT
def test_a_gradient_is_changed_by_plain_arithmetic_on_what_travels_and_is_kept(strategy: Strategy) -> None:
    received = strategy.broadcast(strategy.start(random_state(0)))
    sent_names = {name: Plain(2.0) for name in ("adapter", *received.extra)}
    client_state = {name: Plain(3.0) for name in strategy.first(received).memory}
    changed = strategy.gradient("head.bias", Plain(1.0), Plain(5.0), sent_names, client_state)
    assert isinstance(changed, Plain)
    assert changed.value != 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_base_in_4_bits_and_the_optimiser_go_as_promised(name: str) -> None:
    made = NAMES[name]()
    assert made.option == name
    needed = [f"training.optimiser={made.optimiser}"] if made.optimiser else []
    assert load([f"strategy={name}", *needed]).options["strategy"] == name
    other = "adamw" if made.optimiser == "sgd" else "sgd"
    if made.optimiser:
        with pytest.raises(UserError, match=f"^strategy={name}: needs training.optimiser={made.optimiser}, found"):
            load([f"strategy={name}", f"training.optimiser={other}"])
    if made.four_bit:
        assert load([f"strategy={name}", *needed, "adapter=qlora"]).adapter.four_bit


class OnWholeBases(FedAvg):
    four_bit = False


def test_a_strategy_that_does_not_go_with_4_bits_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"does not work on a base in 4 bits; choose adapter=lora") as refusal:
        Run(adapter=Qlora(), strategy=OnWholeBases())
    assert "\n" not in str(refusal.value)


def test_the_rates_of_the_tests_are_those_of_all_parts() -> None:
    assert {name.split(".")[0] for name in SHAPES} == set(RATES)
