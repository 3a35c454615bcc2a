"""Batches of windows: neighbours in length go together, so that little is padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinfed.tasks.bio import IGNORED, OUTSIDE

LENGTH_STEP = 8  # sub-words: the CPU's kernels keep about 20 MB for each length that they have seen


@dataclass(frozen=True, slots=True)
class Batch:
    """Shapes: input_ids, attention_mask, tags, hints (B, T) int64; tags are -100 where a word is not judged."""

    input_ids: Tensor
    attention_mask: Tensor
    tags: Tensor
    hints: Tensor
    rows: list[int]  # which windows these are

    @property
    def judged(self) -> Tensor:
        """Return the positions whose word this batch judges. Shapes: returns (B, T) bool."""
        return self.tags != IGNORED

    def to(self, device: str) -> "Batch":
        """Return the batch on a device."""
        tensors = (self.input_ids, self.attention_mask, self.tags, self.hints)
        return Batch(*(tensor.to(device) for tensor in tensors), self.rows)


def plan_batches(
    lengths: Sequence[int], *, batch_notes: int, batch_tokens: int = 0, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Return which windows go into each batch: sorted by length, cut, and the batches shuffled.

    With `batch_tokens` a batch holds at most that many padded tokens (one window at least), else `batch_notes` windows.
    Windows of equal length change their neighbours with the generator; without one the order is that of length.
    """
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = order[np.argsort(np.asarray(lengths, dtype=np.int64)[order], kind="stable")]
    batches: list[list[int]] = [[]]
    for row in order.tolist():
        full = (len(batches[-1]) + 1) * lengths[row] > batch_tokens if batch_tokens else len(batches[-1]) >= batch_notes
        if full and batches[-1]:
            batches.append([])
        batches[-1].append(row)
    if rng is not None:
        rng.shuffle(batches)
    return [batch for batch in batches if batch]


def collate(rows: Sequence[dict[str, Any]], chosen: Sequence[int], pad_id: int) -> Batch:
    """Return the chosen windows padded to the longest of them, rounded up to a multiple of LENGTH_STEP."""
    longest = -(-max(len(rows[i]["input_ids"]) for i in chosen) // LENGTH_STEP) * LENGTH_STEP
    input_ids = torch.full((len(chosen), longest), pad_id, dtype=torch.int64)
    tags = torch.full((len(chosen), longest), IGNORED, dtype=torch.int64)
    hints = torch.full((len(chosen), longest), OUTSIDE, dtype=torch.int64)
    mask = torch.zeros((len(chosen), longest), dtype=torch.int64)
    for place, i in enumerate(chosen):
        length = len(rows[i]["input_ids"])
        input_ids[place, :length] = torch.tensor(rows[i]["input_ids"])
        tags[place, :length] = torch.tensor(rows[i]["tags"])
        hints[place, :length] = torch.tensor(rows[i]["hints"])
        mask[place, :length] = 1
    return Batch(input_ids, mask, tags, hints, list(chosen))


def batches_of(rows: Sequence[dict[str, Any]], plan: Sequence[Sequence[int]], pad_id: int) -> Iterator[Batch]:
    """Yield the planned batches."""
    for chosen in plan:
        yield collate(rows, chosen, pad_id)
