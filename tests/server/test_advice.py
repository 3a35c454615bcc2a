"""The line about a score near 0."""

from typing import Any

import pytest

from server.advice import too_little_training


def record(f1: float | None, rounds: int, local_epochs: int = 1, parts: int = 1) -> dict[str, Any]:
    config = {"rounds": rounds, "rounds_per_epoch": parts, "training": {"local_epochs": local_epochs}}
    return {"config": config, "test": {"federated": {"all": {"micro": {"f1": f1}}}}}


def test_a_score_near_0_after_a_round_says_that_a_round_is_too_little() -> None:
    line = too_little_training(record(0.01, 1))
    assert line.startswith("F1 near 0: one epoch over the training notes is not enough")
    assert "rounds=20" in line
    assert too_little_training(record(0.0, 2, local_epochs=2)).startswith("F1 near 0: 4 epochs")
    assert too_little_training(record(0.0, 8, parts=4)).startswith("F1 near 0: 2 epochs")


@pytest.mark.parametrize("other", [record(0.05, 1), record(0.01, 5), record(0.0, 1, local_epochs=5), record(None, 1)])
def test_other_runs_are_told_nothing(other: Any) -> None:
    assert too_little_training(other) == ""
