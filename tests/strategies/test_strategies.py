"""The laws that every strategy keeps: a new file in strategies/ is tested the moment it exists."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from configs.discovery import options, plugin_class
from strategies.base import ServerState, Strategy

SHAPES = {"encoder.a": (2, 3), "encoder.b": (3,), "head.bias": ()}
MADE = [plugin_class("strategy", name)() for name in options("strategy")]
EVERY = pytest.mark.parametrize("strategy", MADE, ids=repr)
AVERAGING = pytest.mark.parametrize("strategy", [made for made in MADE if made.averages], ids=repr)


def random_state(seed: int, dtype: str = "float32") -> AdapterState:
    rng = np.random.default_rng(seed)
    return AdapterState({name: np.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()})


def random_update(seed: int, clinic: str = "", dtype: str = "float32") -> AdapterUpdate:
    return AdapterUpdate(clinic or f"clinic-{seed}", random_state(seed, dtype), num_examples=1 + seed % 97)


@EVERY
@settings(max_examples=25, deadline=None)
@given(order=st.permutations([1, 2, 3, 4, 5]))
def test_arrival_order_does_not_matter_once_sorted_by_clinic(strategy: Strategy, order: list[int]) -> None:
    start = strategy.start(random_state(0))
    arrived = sorted([random_update(seed) for seed in order], key=lambda update: update.clinic)
    expected = strategy.aggregate(start, [random_update(seed) for seed in range(1, 6)])
    assert strategy.aggregate(start, arrived).adapter.sha256() == expected.adapter.sha256()


@EVERY
@settings(max_examples=25, deadline=None)
@given(order=st.permutations([1, 2, 3, 4, 5]))
def test_any_order_gives_the_same_up_to_rounding(strategy: Strategy, order: list[int]) -> None:
    start = strategy.start(random_state(0))
    result = strategy.aggregate(start, map(random_update, order)).adapter
    expected = strategy.aggregate(start, map(random_update, range(1, 6))).adapter
    for name in SHAPES:
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-6)


@AVERAGING
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_update_in_is_that_update_out(strategy: Strategy, dtype: str) -> None:
    start = strategy.start(random_state(0, dtype))
    for seed in range(1, 98):  # all weights 1 ... 97; 49 * (1/49) is not 1 in floating point
        update = random_update(seed, dtype=dtype)
        assert strategy.aggregate(start, [update]).adapter.sha256() == update.state.sha256()


@AVERAGING
def test_equal_updates_come_out_as_they_are(strategy: Strategy) -> None:
    state = random_state(7)
    updates = [AdapterUpdate(f"clinic-{weight}", state, weight) for weight in (3, 10, 49, 1000)]
    assert strategy.aggregate(strategy.start(random_state(0)), updates).adapter.sha256() == state.sha256()


@EVERY
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_names_shapes_and_dtypes_are_kept(strategy: Strategy, dtype: str) -> None:
    server = strategy.start(random_state(0, dtype))
    for seed in (1, 2):
        server = strategy.aggregate(server, [random_update(seed, dtype=dtype), random_update(seed + 5, dtype=dtype)])
    assert server.adapter.shapes == random_state(0, dtype).shapes
    assert server.round == 2


@EVERY
def test_arguments_are_not_changed(strategy: Strategy) -> None:
    server, updates = strategy.start(random_state(0)), [random_update(1), random_update(2)]
    before = [server.adapter.sha256(), *(memory.sha256() for memory in server.memory.values())]
    before += [update.state.sha256() for update in updates]
    strategy.aggregate(server, updates)
    after = [server.adapter.sha256(), *(memory.sha256() for memory in server.memory.values())]
    assert after + [update.state.sha256() for update in updates] == before


@EVERY
def test_updates_are_let_go_as_they_are_read(strategy: Strategy) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def stream() -> Iterator[AdapterUpdate]:
        for seed in range(1, 7):
            gc.collect()
            assert sum(array() is not None for array in alive) <= 1  # the one that was read last
            update = random_update(seed)
            alive.append(weakref.ref(update.state["encoder.a"]))
            yield update
            del update

    strategy.aggregate(strategy.start(random_state(0)), stream())
    assert len(alive) == 6


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused_by_its_clinics_name(strategy: Strategy, value: float) -> None:
    state = random_state(2)
    state["encoder.b"][1] = value
    with pytest.raises(ValueError, match=r"Vic: encoder\.b holds values that are not finite"):
        strategy.aggregate(strategy.start(random_state(0)), [random_update(1), AdapterUpdate("Vic", state, 3)])


@EVERY
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"encoder.b": np.zeros(4, np.float32)}, r"Vic: encoder\.b has shape \(4,\), expected \(3,\)"),
        ({"head.new": np.zeros(4, np.float32)}, r"Vic: tensor head\.new is not expected"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(
    strategy: Strategy, tensors: dict[str, np.ndarray], message: str
) -> None:
    update = AdapterUpdate("Vic", AdapterState(random_state(1).tensors | tensors), 3)
    with pytest.raises(ValueError, match=message):
        strategy.aggregate(strategy.start(random_state(0)), [update])


@EVERY
def test_a_missing_tensor_is_refused(strategy: Strategy) -> None:
    update = AdapterUpdate("Vic", AdapterState({"encoder.a": random_state(1)["encoder.a"]}), 3)
    with pytest.raises(ValueError, match=r"Vic: tensor encoder\.b is missing"):
        strategy.aggregate(strategy.start(random_state(0)), [update])


@EVERY
@pytest.mark.parametrize("num_updates", [0, 2])
def test_no_notes_at_all_are_refused(strategy: Strategy, num_updates: int) -> None:
    updates = [AdapterUpdate(f"clinic-{seed}", random_state(seed), num_examples=0) for seed in range(num_updates)]
    with pytest.raises(ValueError, match="no training notes"):
        strategy.aggregate(strategy.start(random_state(0)), updates)


@EVERY
def test_a_negative_number_of_notes_is_refused(strategy: Strategy) -> None:
    with pytest.raises(ValueError, match="Vic: num_examples is -1"):
        strategy.aggregate(strategy.start(random_state(0)), [AdapterUpdate("Vic", random_state(1), -1)])


@EVERY
def test_going_on_from_a_state_equals_not_having_stopped(strategy: Strategy) -> None:
    middle = strategy.aggregate(strategy.start(random_state(0)), [random_update(1), random_update(2)])
    copied = ServerState(
        AdapterState({name: array.copy() for name, array in middle.adapter.items()}), dict(middle.memory), middle.round
    )
    updates = [random_update(3), random_update(4)]
    straight, resumed = strategy.aggregate(middle, updates), type(strategy)().aggregate(copied, updates)
    assert straight.adapter.sha256() == resumed.adapter.sha256()
