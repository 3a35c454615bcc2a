"""Learning-rate schedules as functions of the global epoch, so that a round never restarts them."""

from clinfed.training.settings import Training


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
