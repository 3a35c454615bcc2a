"""The farthest that training can go: above whatever it does, and not by so much that an absurd update passes."""

from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from clinfed.training.max_update import ADAM_STEP, highest_rate, max_update  # noqa: E402
from clinfed.training.schedules import Epochs, learning_rate_at  # noqa: E402
from clinfed.training.settings import Training  # noqa: E402


def moved(gradients: list[float], rate: float, weight_decay: float = 0.0, start: float = 0.0) -> float:
    """Return how far torch's own AdamW moves one number."""
    number = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimiser = torch.optim.AdamW([number], lr=rate, weight_decay=weight_decay)
    for gradient in gradients:
        number.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    return abs(float(number.detach()) - start)


def settings(**changes: Any) -> Training:
    return Training(**{"schedule": "constant", "learning_rate": 0.01, "batch_notes": 1, **changes})


@pytest.mark.parametrize(
    "gradients",
    [
        [1e-3],
        [1.0] * 50,
        [0.0] * 40 + [1.0] * 10,
        [0.9 ** (50 - step) for step in range(50)],  # grows as Adam's first average forgets: the worst there is
        [(-1.0) ** step for step in range(50)],
    ],
    ids=["one step", "steady", "silent at first", "growing", "to and fro"],
)
def test_no_gradients_move_a_number_beyond_its_reach(gradients: list[float]) -> None:
    fixed, _ = max_update(settings(weight_decay=0.0), Epochs(range(1), 1), len(gradients))["encoder"]
    assert moved(gradients, 0.01) <= fixed
    assert fixed <= ADAM_STEP * 0.01 * len(gradients) * 1.001


@pytest.mark.parametrize("gradients", [[1.0] * 20, [1e6] * 20, [-3.0, 0.5, 1e-9]], ids=["steady", "huge", "mixed"])
def test_no_plain_steps_along_clipped_gradients_move_a_number_beyond_its_reach(gradients: list[float]) -> None:
    given = settings(optimiser="sgd", clip_norm=0.5, weight_decay=0.1)
    number = torch.nn.Parameter(torch.tensor([2.0]))
    optimiser = torch.optim.SGD([number], lr=0.01, weight_decay=0.1)
    for gradient in gradients:
        number.grad = torch.tensor([gradient])
        torch.nn.utils.clip_grad_norm_([number], 0.5)
        optimiser.step()
    fixed, relative = max_update(given, Epochs(range(1), 1), len(gradients))["encoder"]
    moved = abs(float(number.detach()) - 2.0)
    assert moved <= fixed + relative * 2.0
    assert fixed + relative * 2.0 < 1.1 * len(gradients) * 0.01 * (0.5 + 0.1 * 2.0)  # a rate's step, and its decay


def test_a_step_may_be_longer_than_the_learning_rate() -> None:
    # Two silent steps, then one: 0.1 / (1 - 0.9^3) over sqrt(0.001 / (1 - 0.999^3)), 0.369 / 0.578 of the rate; after
    # a hundred it is 0.1 / sqrt(0.001 / 0.0952) = 1.03 of it, and goes on. A bound of one rate a step would be wrong.
    silent = [0.0] * 400
    assert moved([*silent, 1.0], 0.01) > 0.01
    fixed, _ = max_update(settings(weight_decay=0.0), Epochs(range(1), 1), 1)["encoder"]
    assert moved([*silent, 1.0], 0.01) < fixed


def test_weight_decay_moves_in_proportion_to_the_number() -> None:
    decay = settings(weight_decay=0.5)
    fixed, relative = max_update(decay, Epochs(range(1), 1), 10)["encoder"]
    assert moved([0.0] * 10, 0.01, weight_decay=0.5, start=100.0) == pytest.approx(4.89, abs=0.01)  # 1 - 0.995^10
    assert 4.89 <= fixed + relative * 100.0 < 7.0


@pytest.mark.parametrize("schedule", ["linear", "exponential", "constant"])
def test_the_highest_rate_is_that_of_no_other_moment(schedule: str) -> None:
    given = settings(schedule=schedule, warmup=0.35)
    for first, part in product(range(4), range(3)):
        epochs = Epochs(range(first, first + 1), 4, part, 3)
        rates = [learning_rate_at(first + (part + step / 100) / 3, 4, given) for step in range(101)]
        assert highest_rate(given, epochs) == pytest.approx(max(rates), rel=0.02)
        assert highest_rate(given, epochs) >= max(rates) - 1e-12


def test_steps_are_batches_and_with_token_batches_at_most_windows() -> None:
    by_notes, _ = max_update(settings(batch_notes=8, weight_decay=0.0), Epochs(range(2), 2), 17)["encoder"]
    by_tokens, _ = max_update(settings(batch_notes=8, batch_tokens=999, weight_decay=0.0), Epochs(range(2), 2), 17)[
        "encoder"
    ]
    assert by_notes == pytest.approx(ADAM_STEP * 0.01 * 2 * 3, rel=1e-4)
    assert by_tokens == pytest.approx(ADAM_STEP * 0.01 * 2 * 17, rel=1e-4)


def test_a_huge_claim_of_windows_is_no_endless_sum() -> None:
    fixed, _ = max_update(settings(), Epochs(range(1), 1), 10**15)["encoder"]
    assert fixed > 0


@pytest.mark.parametrize("batches", [1, 2, 7, 17])
def test_no_part_of_an_epoch_has_more_steps_than_its_reach(batches: int) -> None:
    longest = max(len(Epochs(range(1), 1, part, 3).steps(batches)) for part in range(3))
    fixed, _ = max_update(settings(weight_decay=0.0), Epochs(range(1), 1, 1, 3), batches)["encoder"]
    assert fixed == pytest.approx(ADAM_STEP * 0.01 * longest, rel=1e-4)


def test_the_head_reaches_as_many_times_as_far_as_it_learns_faster() -> None:
    parts = max_update(settings(weight_decay=0.5, head_factor=3.0), Epochs(range(1), 1), 10)
    alone = max_update(settings(weight_decay=0.5, learning_rate=0.03), Epochs(range(1), 1), 10)
    assert parts["head"] == pytest.approx(alone["encoder"])
    assert parts["encoder"] == max_update(settings(weight_decay=0.5), Epochs(range(1), 1), 10)["encoder"]
