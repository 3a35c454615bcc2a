"""How far local training can move a number: what no honest update exceeds."""

import math

from clinfed.training.schedules import Epochs, learning_rate_at
from clinfed.training.settings import Training

# A step of Adam moves a number by at most lr * sqrt(sum of a^2/b) over the steps so far, with a and b the weights of
# their gradients in its two averages (Cauchy-Schwarz). With its usual beta1 = 0.9 and beta2 = 0.999 that grows with the
# steps to 0.1 / sqrt(0.001) / sqrt(1 - 0.81/0.999). Source: Kingma & Ba 2015, section 2.1, whose bound forgets the sum.
ADAM_STEP = 0.1 / math.sqrt(0.001) / math.sqrt(1 - 0.81 / 0.999)  # 7.27 learning rates
ROUNDING = 2.0**-23  # of float32, relative, in each step


def max_update(settings: Training, epochs: Epochs, windows: int) -> dict[str, tuple[float, float]]:
    """Return (a, b) of "encoder" and "head": no number w there is moved by more than a + b*|w|, whatever the notes are.

    The part is the first word of a tensor's name. epochs: those of the round. windows: of the clinic's training notes.
    """
    return {part: farthest(settings, epochs, windows, factor) for part, factor in settings.factors.items()}


def farthest(settings: Training, epochs: Epochs, windows: int, factor: float) -> tuple[float, float]:
    """Return (a, b) for numbers that learn so many times as fast as the learning rate."""
    steps = most_steps(settings, epochs, windows)
    rate = highest_rate(settings, epochs) * factor
    longest, decay = largest_step(settings)
    moved = longest * rate * steps
    decayed = (rate * decay + ROUNDING) * steps
    return moved * (1 + decayed), decayed


def largest_step(settings: Training) -> tuple[float, float]:
    """Return (a, b): no step moves a number w by more than a + b*|w| learning rates, but for rounding."""
    # A gradient that is clipped by its norm has no number above that norm, whose sum float32 rounds.
    longest = 1.001 * settings.clip_norm if settings.optimiser == "sgd" else ADAM_STEP
    return longest, settings.weight_decay


def most_steps(settings: Training, epochs: Epochs, windows: int) -> int:
    """Return how many steps the epochs have at most over so many windows."""
    per_epoch = windows if settings.batch_tokens else -(-windows // settings.batch_notes)
    return len(epochs.numbers) * -(-per_epoch // epochs.parts)


def highest_rate(settings: Training, epochs: Epochs) -> float:
    """Return the largest learning rate in the epochs: at one of their ends, or where the warm-up ends."""
    first, last = epochs.first, epochs.last
    turning = min(max(settings.warmup * epochs.total_epochs, first), last)
    return max(learning_rate_at(epoch, epochs.total_epochs, settings) for epoch in (first, turning, last))


def mean_rate(settings: Training, epochs: Epochs, points: int = 101) -> float:
    """Return the mean learning rate of the epochs: lengths of updates grow with it, from one round to the next."""
    places = (epochs.first + (epochs.last - epochs.first) * point / (points - 1) for point in range(points))
    return sum(learning_rate_at(place, epochs.total_epochs, settings) for place in places) / points
