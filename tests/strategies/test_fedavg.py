import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.base import ServerState
from strategies.fedadam import FedAdam
from strategies.fedavg import FedAvg
from strategies.fedprox import FedProx


def scalar_state(value: float) -> AdapterState:
    return AdapterState({"head.bias": np.array([value], np.float32)})


def scalar_update(value: float, num_examples: int) -> AdapterUpdate:
    return AdapterUpdate(f"clinic-{num_examples}", scalar_state(value), num_examples)


def value_of(server: ServerState) -> float:
    return float(server.adapter["head.bias"][0])


def test_fedavg_weights_by_notes() -> None:
    updates = [scalar_update(0.0, num_examples=1), scalar_update(8.0, num_examples=3)]
    strategy = FedAvg()
    # (0*1 + 8*3) / 4; unweighted it would be 4
    assert value_of(strategy.aggregate(strategy.start(scalar_state(5.0)), updates)) == 6.0


def test_fedavg_sums_in_float64() -> None:
    big = float(np.float32(2**24))
    updates = [scalar_update(value, num_examples=1) for value in (big, 1.0, 1.0)]
    strategy = FedAvg()
    # (2**24 + 2) / 3 = 5592406 exactly; in float32 2**24 + 1 is 2**24 again, and the mean 5592405.5
    assert value_of(strategy.aggregate(strategy.start(scalar_state(0.0)), updates)) == 5592406.0


def test_fedprox_averages_like_fedavg_and_pulls_each_gradient_towards_the_global_adapter() -> None:
    updates = [scalar_update(0.0, num_examples=1), scalar_update(8.0, num_examples=3)]
    assert value_of(FedProx().aggregate(ServerState(scalar_state(5.0)), updates)) == 6.0
    # 1 + 0.5 * (7 - 3); towards the weight instead it would be -1
    assert FedProx(proximal_mu=0.5).gradient("head.bias", 1.0, 7.0, {"adapter": 3.0}, {}) == 3.0
    assert not FedAvg().changes_gradients


def test_fedadam_takes_the_step_of_algorithm_2() -> None:
    strategy = FedAdam(learning_rate=0.5, head_factor=1.0, beta1=0.5, beta2=0.75, tau=2.0)
    server = strategy.start(scalar_state(1.0))
    server = strategy.aggregate(server, [scalar_update(3.0, num_examples=1), scalar_update(6.0, num_examples=2)])
    # d = (3*1 + 6*2)/3 - 1 = 4; m = 0.5*0 + 0.5*4 = 2; v = 0.75*2**2 + 0.25*4**2 = 7
    # w = 1 + 0.5 * 2 / (sqrt(7) + 2) = 1.215250; with bias correction of m it would be 1.43, with v from 0 1.25
    assert value_of(server) == pytest.approx(1 + 1 / (7**0.5 + 2), rel=1e-6)
    first = value_of(server)
    server = strategy.aggregate(server, [scalar_update(first, num_examples=5)])
    # d = 0; m = 0.5*2 = 1; v = 0.75*7 = 5.25: momentum alone goes on
    assert value_of(server) == pytest.approx(first + 0.5 / (5.25**0.5 + 2), rel=1e-6)


def test_fedadams_head_moves_as_many_times_further_as_its_factor() -> None:
    strategy = FedAdam(learning_rate=0.5, head_factor=3.0)
    start = AdapterState({name: np.zeros(1) for name in ("encoder.a", "head.b")})
    trained = AdapterState({name: np.ones(1) for name in start})
    after = strategy.aggregate(strategy.start(start), [AdapterUpdate("north", trained, 1)]).adapter
    assert after["head.b"] == pytest.approx(3 * after["encoder.a"])
    assert after["encoder.a"] == pytest.approx(0.5, rel=0.02)  # m / (sqrt(v) + tau) = .1 / (.1 + .001)


def test_by_default_four_rounds_of_fedadam_move_the_head_as_far_as_local_training() -> None:
    # Four equal changes: .1/.1 + .19/.141 + .271/.172 + .344/.198 = 5.7 steps; of .01 they would move it by .06.
    strategy, moved = FedAdam(), AdapterState({"head.b": np.zeros(1)})
    server = strategy.start(moved)
    for _ in range(4):
        change = AdapterState({"head.b": server.adapter["head.b"] + 0.1})
        server = strategy.aggregate(server, [AdapterUpdate("north", change, 1)])
    assert server.adapter["head.b"][0] == pytest.approx(
        4 * 92**0.5 * 0.01 / 2, rel=0.1
    )  # sqrt(92) steps of .01, decaying
