"""Learning curves: validation F1 against the epochs trained, the notes read and the bytes sent so far, from records."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import MB, fraction, mean
from clinfed.runs.record import RunRecord

LEARNING_HEAD = ("system", "seeds", "round", "epochs", "notes read", "MB sent", "validation F1")
LEARNING_TITLE = "Learning curves: means over seeds, after each round that was validated"


class Point(NamedTuple):
    """What a run had spent when it was validated. notes: once an epoch; sent: bytes of tensors, up and down."""

    round_index: int
    epochs: float
    notes: float
    sent: int
    f1: float | None


def learning_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return a row a system and round below LEARNING_HEAD. Training in one place is one round, with its last point."""
    rows = []
    for result in results:
        by_round: dict[int, list[Point]] = {}
        for run in result.runs.values():
            for point in points(run.record, federated=result.is_federated):
                by_round.setdefault(point.round_index, []).append(point)
        for round_index, found in sorted(by_round.items()):
            epochs = mean(point.epochs for point in found)
            notes, sent = mean(point.notes for point in found), mean(float(point.sent) for point in found)
            cells = [str(len(found)), str(round_index), f"{epochs:g}", f"{notes:,.0f}", f"{sent / MB:.1f}"]
            rows.append([result.name, *cells, fraction(mean(point.f1 for point in found))])
    return rows


def points(record: RunRecord, *, federated: bool) -> Iterator[Point]:
    """Yield a point for each validated round; without the settings that say how long an epoch is, none."""
    config = record["config"]
    if "rounds" not in config or "local_epochs" not in config.get("training", {}):
        return
    a_round = config["training"]["local_epochs"] / config.get("rounds_per_epoch", 1)
    notes, sent = 0.0, 0
    for entry in record["rounds"]:
        epochs = a_round if federated else a_round * config["rounds"]  # one place trains all epochs in one entry
        notes += epochs * sum(each["notes"] for each in entry["clinics"].values())
        sent += entry["bytes_up"] + entry["bytes_down"]
        if (validation := entry["validation"]) and "micro" in validation:
            done = epochs * entry["round"] if federated else epochs
            yield Point(entry["round"], done, notes, sent, validation["micro"]["f1"])
