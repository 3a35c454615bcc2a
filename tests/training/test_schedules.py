"""Which of a run's epochs each round trains, and the learning rate there."""

import pytest

from clinfed.training.schedules import Epochs, learning_rate_at
from clinfed.training.settings import Training
from configs import Run


@pytest.mark.parametrize(
    ("schedule", "epoch", "expected"),
    [
        ("linear", 0.5, 0.5),  # halfway up a warm-up of 10% of 10 epochs
        ("linear", 5.5, 0.5),  # (10 - 5.5) / (10 - 1)
        ("exponential", 2.9, 0.81),  # 0.9 ** 2: whole epochs
        ("constant", 7.0, 1.0),
    ],
)
def test_schedules_follow_the_global_epoch(schedule: str, epoch: float, expected: float):
    settings = Training(learning_rate=1.0, schedule=schedule, warmup=0.1, gamma=0.9)
    assert learning_rate_at(epoch, 10, settings) == pytest.approx(expected)


def test_rounds_of_whole_epochs_follow_each_other() -> None:
    run = Run(rounds=3, training=Training(local_epochs=2))
    assert [run.epochs_of_round(round_index).numbers for round_index in (1, 2, 3)] == [
        range(2),
        range(2, 4),
        range(4, 6),
    ]
    assert run.epochs() == Epochs(range(6), 6)
    assert {(each.total_epochs, each.count) for each in map(run.epochs_of_round, (1, 2, 3))} == {(6, 2)}


@pytest.mark.parametrize("batches", [1, 2, 3, 10, 97])
def test_the_rounds_of_an_epoch_train_on_each_of_its_batches_once(batches: int) -> None:
    run = Run(rounds=8, rounds_per_epoch=4)
    parts = [run.epochs_of_round(round_index) for round_index in range(1, 9)]
    assert [each.numbers for each in parts] == [range(1)] * 4 + [range(1, 2)] * 4
    for epoch in (parts[:4], parts[4:]):
        assert [step for each in epoch for step in each.steps(batches)] == list(range(batches))
    sizes = [len(each.steps(batches)) for each in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sum(each.count for each in parts) == run.epochs().count == run.epochs().total_epochs == 2


def test_parts_of_an_epoch_begin_where_those_before_them_end() -> None:
    run = Run(rounds=8, rounds_per_epoch=4)
    parts = [run.epochs_of_round(round_index) for round_index in range(1, 9)]
    assert [each.first for each in parts] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert [each.last for each in parts] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
