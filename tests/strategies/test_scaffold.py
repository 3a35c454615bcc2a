"""SCAFFOLD on a quadratic problem that is worked by hand, and what its control variates may become."""

from fractions import Fraction

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate, Payload
from clinfed.errors import UserError
from clinfed.settings import check
from configs import load
from strategies.base import ClientState, LocalReport, ServerState
from strategies.scaffold import CONTROL, Scaffold

NAME = "head.w"
RATE, STEPS = 0.25, 2
# Clinic "a" has f(w) = w^2, whose gradient is 2w; clinic "b" has f(w) = (w - 6)^2 / 2, whose gradient is w - 6.
# With one note each, the gradient of the mean is (3w - 6) / 2, and its optimum is 2.
GRADIENTS = {"a": lambda w: 2 * w, "b": lambda w: w - 6}


def state(value: float) -> AdapterState:
    return AdapterState({NAME: np.array(value)})


def local(
    strategy: Scaffold, clinic: str, received: Payload, client_state: ClientState, index: int
) -> tuple[AdapterUpdate, ClientState]:
    """Return what a clinic sends and keeps after its local steps."""
    w = float(received.adapter[NAME])
    sent = {CONTROL: received.extra[CONTROL][NAME]}
    for _ in range(STEPS):
        w -= RATE * strategy.gradient(
            NAME, GRADIENTS[clinic](w), w, sent, {CONTROL: client_state.memory[CONTROL][NAME]}
        )
    report = LocalReport(index, notes=1, steps=STEPS, learning_rates={"head": STEPS * RATE}, largest_step=(100.0, 0.0))
    payload, after = strategy.update(received, state(w), client_state, report)
    return AdapterUpdate(clinic, payload.adapter, 1, STEPS, payload.extra, total_examples=2), after


def run(strategy: Scaffold, server: ServerState, rounds: int) -> tuple[ServerState, dict[str, ClientState]]:
    states = {clinic: strategy.first(strategy.broadcast(server)) for clinic in GRADIENTS}
    for index in range(1, rounds + 1):
        received = strategy.broadcast(server)
        answers = {
            clinic: local(strategy, clinic, received, client_state, index) for clinic, client_state in states.items()
        }
        server = strategy.aggregate(server, [update for update, _ in answers.values()])
        states = {clinic: client_state for clinic, (_, client_state) in answers.items()}
    return server, states


def value(server: ServerState) -> float:
    return float(server.adapter[NAME])


def control(held: "ServerState | ClientState") -> float:
    return float(held.memory[CONTROL][NAME])


def test_two_rounds_equal_those_worked_by_hand() -> None:
    strategy = Scaffold()
    server, states = run(strategy, strategy.start(state(4.0)), 1)
    # Round 1, from w = 4 with all control variates 0:
    #   a: 4 - 8/4 = 2, 2 - 4/4 = 1;            c_a = (4 - 1) / (2/4) = 6, its mean gradient (8 + 4) / 2
    #   b: 4 + 2/4 = 9/2, 9/2 + (3/2)/4 = 39/8; c_b = (4 - 39/8) / (2/4) = -7/4
    #   w = (1 + 39/8) / 2 = 47/16; c = (6 - 7/4) / 2 = 17/8
    assert (control(states["a"]), control(states["b"])) == (6.0, -1.75)
    assert (value(server), control(server)) == (47 / 16, 17 / 8)
    # Round 2: a steps along 2w - 6 + 17/8, b along w - 6 + 7/4 + 17/8.
    w_a = w_b = w = Fraction(47, 16)
    for _ in range(2):
        w_a -= (2 * w_a - 6 + Fraction(17, 8)) / 4
        w_b -= (w_b - 6 + Fraction(7, 4) + Fraction(17, 8)) / 4
    c_a = 6 - Fraction(17, 8) + 2 * (w - w_a)
    c_b = -Fraction(7, 4) - Fraction(17, 8) + 2 * (w - w_b)
    server, states = run(strategy, strategy.start(state(4.0)), 2)
    assert value(server) == float((w_a + w_b) / 2)
    assert (control(states["a"]), control(states["b"])) == (float(c_a), float(c_b))
    assert control(server) == float((c_a + c_b) / 2)


def test_it_ends_at_the_optimum_of_all_where_averaging_alone_does_not() -> None:
    strategy = Scaffold()
    server, _ = run(strategy, strategy.start(state(4.0)), 60)
    assert value(server) == pytest.approx(2.0, abs=1e-9)
    # Two plain steps map w to w/4 at a, and to (9w + 42)/16 at b: their mean stands still at 42/19, not at 2.
    averaged = 4.0
    for _ in range(60):
        averaged = (averaged / 4 + (9 * averaged + 42) / 16) / 2
    assert averaged == pytest.approx(42 / 19)


def test_where_half_of_the_notes_are_drawn_the_servers_control_moves_by_half() -> None:
    strategy = Scaffold()
    server = strategy.start(state(4.0))
    received = strategy.broadcast(server)
    update, _ = local(strategy, "a", received, strategy.first(received), 1)
    assert control(strategy.aggregate(server, [update])) == 3.0  # (1 of 2 notes) * 6; c_b = 0 counts, too


def test_the_server_steps_by_its_rate() -> None:
    server, _ = run(Scaffold(server_learning_rate=0.5), Scaffold().start(state(4.0)), 1)
    assert value(server) == (4 + 47 / 16) / 2


@pytest.mark.parametrize("rate", [0.0, -1.0, 11.0, float("nan")])
def test_a_rate_of_the_server_outside_its_limits_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match=r"strategy\.server_learning_rate="):
        check("strategy", Scaffold(server_learning_rate=rate))


def test_no_step_changes_no_control() -> None:
    strategy = Scaffold()
    received = Payload(state(4.0), {CONTROL: state(0.5)})
    client_state = ClientState({CONTROL: state(2.0)}, 3)
    report = LocalReport(4, notes=1, steps=0, learning_rates={"head": 0.0}, largest_step=(1.0, 0.0))
    payload, after = strategy.update(received, state(4.0), client_state, report)
    assert float(payload.extra[CONTROL][NAME]) == 0.0
    assert (control(after), after.round) == (2.0, 4)


def test_the_control_does_not_grow_beyond_a_step_whatever_is_sent_inside_its_limits() -> None:
    strategy = Scaffold()
    server = strategy.start(state(0.0))
    for _ in range(200):
        [(centre, radius)] = strategy.limits(strategy.broadcast(server), (1.0, 0.0)).values()
        worst = AdapterState({NAME: centre + radius})
        update = AdapterUpdate("liar", state(0.0), 1, 1, {CONTROL: worst}, total_examples=1)
        server = strategy.aggregate(server, [update])
    assert control(server) < 1.3  # a step's 1, times the slack of 1.001 in each of 200 rounds; doubled, it were 1e60


def test_adamw_is_refused_in_one_line_that_says_what_to_add() -> None:
    with pytest.raises(UserError, match=r"^strategy=scaffold: needs training\.optimiser=sgd, found adamw; ") as found:
        load(["strategy=scaffold"])
    assert "\n" not in str(found.value)
