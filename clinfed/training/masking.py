"""Text for masked language modelling: which documents are held out, rows of sub-words, which tokens are hidden."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinfed.training.tokenizer import SPECIAL_TOKENS

HELD_OUT_EVERY = 50  # one document of 50 is never trained on


def held_out_split(documents: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (training, held-out) documents: every 50th is held out."""
    train = [text for i, text in enumerate(documents) if i % HELD_OUT_EVERY]
    return train, [text for i, text in enumerate(documents) if i % HELD_OUT_EVERY == 0]


def pack(documents: Sequence[str], tokenizer, tokens_per_row: int) -> Tensor:
    """Return documents joined by [SEP] and cut into rows without padding.

    Shapes: returns (rows, tokens_per_row) int64; the last incomplete row is dropped.
    """
    # The tokenizer takes no empty list.
    encoded = tokenizer(list(documents), add_special_tokens=False, verbose=False)["input_ids"] if documents else []
    stream = np.array([token for ids in encoded for token in (*ids, tokenizer.sep_token_id)], np.int64)
    body = tokens_per_row - 1  # each row starts with [CLS], as every note will
    rows = stream[: len(stream) // body * body].reshape(-1, body)
    start = np.full((len(rows), 1), tokenizer.cls_token_id, dtype=np.int64)
    return torch.from_numpy(np.concatenate([start, rows], axis=1))


def mask_tokens(rows: Tensor, masked: float, tokenizer: Any, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the rows with a share of tokens hidden, and which those are: 80% [MASK], 10% another token, 10% unchanged.

    The unchanged ones matter: without them nothing asks a visible token's vector to say which token it is, and taggers
    read exactly those vectors. Source: Devlin et al. 2019, BERT, section 3.1.
    Shapes: rows (B, T) int64; returns (B, T) int64 and (B, T) bool. Special tokens (ids below 5) are never chosen.
    """
    chosen_BT = (torch.rand(rows.shape, generator=rng) < masked) & (rows >= len(SPECIAL_TOKENS))
    draws_BT = torch.rand(rows.shape, generator=rng)
    others_BT = torch.randint(len(SPECIAL_TOKENS), len(tokenizer), rows.shape, generator=rng)
    inputs_BT = torch.where(chosen_BT & (draws_BT < 0.8), torch.tensor(tokenizer.mask_token_id), rows)
    return torch.where(chosen_BT & (draws_BT >= 0.8) & (draws_BT < 0.9), others_BT, inputs_BT), chosen_BT


def batches_forever(rows: Tensor, batch: int, seed: int) -> Iterator[Tensor]:
    """Yield random batches, epoch after epoch, each in a new order."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=rng)
        for start in range(0, len(rows) - batch + 1, batch):
            yield rows[order[start : start + batch]]
