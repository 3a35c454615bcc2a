"""What to do about a score near 0, which is what a first try usually gives."""

from typing import Any

from clinfed.runs.record import ADAPTERS

ENOUGH_EPOCHS = 5  # as many as the default job makes
NEAR_0 = 0.05


def too_little_training(record: Any) -> str:
    """Return a line for a run whose F1 on test is near 0 after few epochs, "" for any other."""
    config = record["config"]
    epochs = config["rounds"] * config["training"]["local_epochs"] // config.get("rounds_per_epoch", 1)
    system = next(name for name in ADAPTERS if name in record["test"])
    evaluated = record["test"][system]["all"]
    if "micro" not in evaluated:  # a task that measures no F1
        return ""
    f1 = evaluated["micro"]["f1"]
    if f1 is None or f1 >= NEAR_0 or epochs >= ENOUGH_EPOCHS:
        return ""
    done = "one epoch over the training notes is" if epochs == 1 else f"{epochs} epochs over the training notes are"
    return (
        f"F1 near 0: {done} not enough, since adapter and head start from nothing; give more rounds, such as "
        f"rounds={4 * ENOUGH_EPOCHS}, or more notes"
    )
