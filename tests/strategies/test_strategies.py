"""The laws that every strategy keeps, and the promises that each makes: a new file is tested the moment it exists."""

import doctest
import gc
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies.base
from clinfed.adapters.qlora import Qlora
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import EXTRA, AdapterUpdate, Payload
from clinfed.errors import UserError
from configs import Run, load
from configs.discovery import options, plugin_class
from strategies.base import ServerState, Strategy
from strategies.fedavg import FedAvg
from tests.strategies.rounds import LARGEST, RATES, SHAPES, answer, random_state, report_of, sent

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


def hashes(server: ServerState) -> list[str]:
    return [server.adapter.sha256(), *(state.sha256() for state in server.memory.values())]


def test_the_example_of_the_base_class_runs() -> None:
    assert doctest.testmod(strategies.base).attempted > 8
    assert doctest.testmod(strategies.base).failed == 0


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


@EVERY
def test_a_clinics_state_has_its_names_from_the_first_on(strategy: Strategy) -> None:
    server = strategy.start(random_state(0))
    first = strategy.first(strategy.broadcast(server))
    _, kept = answer(strategy, server, random_state(1), notes=3)
    assert (first.round, kept.round) == (0, 1)
    assert {name: state.shapes for name, state in first.memory.items()} == {
        name: state.shapes for name, state in kept.memory.items()
    }


@EVERY
def test_arguments_are_not_changed(strategy: Strategy) -> None:
    server = read_only(strategy.start(read_only(random_state(0))))
    received = read_only(strategy.broadcast(server))
    kept = read_only(strategy.first(received))
    payload, after = strategy.update(received, read_only(random_state(1)), kept, report_of(1, 3))
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
    kept = {name: Plain(3.0) for name in strategy.first(received).memory}
    changed = strategy.gradient("head.bias", Plain(1.0), Plain(5.0), sent_names, kept)
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


def test_the_rates_of_the_tests_are_those_of_all_parts() -> None:
    assert {name.split(".")[0] for name in SHAPES} == set(RATES)
