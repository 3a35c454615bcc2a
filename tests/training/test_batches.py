"""Batches of windows."""

import numpy as np

from clinfed.tasks.tagging.flat import Jerl
from clinfed.training.batches import plan_batches


def test_every_window_is_in_one_batch() -> None:
    lengths = list(np.random.default_rng(0).integers(5, 60, 103))
    plan = plan_batches(lengths, batch_notes=8, rng=np.random.default_rng(1))
    assert sorted(i for batch in plan for i in batch) == list(range(103))
    assert max(map(len, plan)) == 8


def test_neighbours_in_length_share_a_batch() -> None:
    lengths = list(np.random.default_rng(0).integers(5, 60, 400))
    plan = plan_batches(lengths, batch_notes=8, rng=np.random.default_rng(1))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in plan)
    assert 1 - sum(lengths) / padded < 0.05  # batches in random order of notes would pad about 40%


def test_a_token_budget_bounds_padded_tokens() -> None:
    plan = plan_batches([3, 9, 10, 2, 30], batch_notes=0, batch_tokens=20)
    assert plan == [[3, 0], [1, 2], [4]]  # 2x3, 2x10; 30 alone exceeds the budget and still goes


def test_order_changes_with_the_generator() -> None:
    lengths = [10] * 32
    assert plan_batches(lengths, batch_notes=4, rng=np.random.default_rng(1)) != plan_batches(
        lengths, batch_notes=4, rng=np.random.default_rng(2)
    )


def test_padding_is_masked_and_not_evaluated() -> None:
    rows = [
        {"input_ids": [2, 7, 3], "tags": [-100, 1, -100], "features": [0, 5, 0]},
        {"input_ids": [2, 3], "tags": [-100, -100], "features": [0, 0]},
    ]
    batch = Jerl().collate(rows, [0, 1], pad_id=9)
    assert batch.input_ids.tolist() == [[2, 7, 3] + [9] * 5, [2, 3] + [9] * 6]  # to a multiple of 8
    assert batch.attention_mask.tolist() == [[1, 1, 1] + [0] * 5, [1, 1] + [0] * 6]
    assert batch.evaluated.sum() == 1
    assert batch.features.tolist() == [[0, 5] + [0] * 6, [0] * 8]
