"""What to do about a score near 0, which is what a first try usually gives."""

from typing import Any

from clinfed.runs.record import ADAPTERS

ENOUGH_PASSES = 5  # as many as the default job makes
NEAR_0 = 0.05


def too_little_training(record: Any) -> str:
    """Return a line for a run whose F1 on test is near 0 after few passes over the notes, "" for any other."""
    config = record["config"]
    passes = config["rounds"] * config["training"]["local_epochs"] // config.get("rounds_per_epoch", 1)
    system = next(name for name in ADAPTERS if name in record["test"])
    judged = record["test"][system]["all"]
    if "micro" not in judged:  # a task that measures no F1
        return ""
    f1 = judged["micro"]["f1"]
    if f1 is None or f1 >= NEAR_0 or passes >= ENOUGH_PASSES:
        return ""
    done = "one pass over the training notes is" if passes == 1 else f"{passes} passes over the training notes are"
    return (
        f"F1 near 0: {done} not enough, since adapter and head start from nothing; give more rounds, such as "
        f"rounds={4 * ENOUGH_PASSES}, or more notes"
    )
