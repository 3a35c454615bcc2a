"""Which of a run's epochs a clinic trains in one round, and the learning rate there.

Both are functions of the global epoch, so that a round restarts neither.
"""

from dataclasses import dataclass

from clinfed.training.settings import Training


@dataclass(frozen=True)
class Epochs:
    """Some of a run's epochs over a clinic's notes: whole ones, or one part of an epoch's batches."""

    numbers: range  # of the epochs, global, from 0
    total_epochs: int  # of the run
    part: int = 0  # from 0; of each epoch the batches of this part
    parts: int = 1

    @property
    def count(self) -> float:
        """Return how often these epochs see a note, on average over the notes."""
        return len(self.numbers) / self.parts

    @property
    def first(self) -> float:
        """Return the (fractional) global epoch where these epochs begin."""
        return self.numbers.start + self.part / self.parts

    @property
    def last(self) -> float:
        """Return the (fractional) global epoch where these epochs end."""
        return self.numbers.stop - 1 + (self.part + 1) / self.parts

    @property
    def ends_epoch(self) -> bool:
        """Return whether all of an epoch's batches have been trained on after these epochs."""
        return self.part + 1 == self.parts

    def steps(self, batches: int) -> range:
        """Return which of an epoch's batches are trained on."""
        return range(self.part * batches // self.parts, (self.part + 1) * batches // self.parts)


def learning_rate_at(epoch: float, total_epochs: int, settings: Training) -> float:
    """Return the learning rate at a (fractional) global epoch in [0, total_epochs].

    exponential: lr * gamma**floor(epoch), the reference paper's. linear: up during `warmup` of all epochs, then down
    to 0.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.gamma ** int(epoch)
    warm = settings.warmup * total_epochs
    if epoch < warm:
        return settings.learning_rate * epoch / warm
    return settings.learning_rate * (total_epochs - epoch) / (total_epochs - warm)
