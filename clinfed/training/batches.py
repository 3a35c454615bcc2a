"""Which examples go into each batch: neighbours in length go together, so that little is padded."""

from collections.abc import Sequence

import numpy as np


def plan_batches(
    lengths: Sequence[int], *, batch_notes: int, batch_tokens: int = 0, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Return which examples go into each batch: sorted by length, cut, and the batches shuffled.

    With `batch_tokens` a batch holds at most that many padded tokens (one example at least), else `batch_notes`
    examples. Examples of equal length change their neighbours with the generator; without one the order is
    that of length.
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
