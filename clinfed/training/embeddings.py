"""One vector an example, from a frozen encoder that reads each only once: vectors are kept on disk for later runs.

A vector tells much of its note: the cache is private to the clinic (mode 0700) and never leaves it.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clinfed.tasks.base import Row, Task
from clinfed.training.batches import plan_batches
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast
from clinfed.training.settings import Training

FORMAT = 2  # of the cache; another number makes old caches unreadable, never wrong
BATCH_TOKENS = 4096  # padded tokens a batch: without gradients a larger batch only fills caches
READ = [0]  # in the place of sub-words: nothing reads them again

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embedded(Encoded):
    """Examples with the vectors that a frozen encoder made of them, (examples, H). read: how many it read just now."""

    vectors: Vectors
    read: int

    @cached_property
    def lengths(self) -> list[int]:
        """Return 1 for each example."""
        return [1] * len(self.vectors)

    @cached_property
    def rows(self) -> list[Row]:
        """Return the examples, each with its vector."""
        rows = self.windows.to_list()
        return [{**row, "input_ids": READ, "vector": vector} for row, vector in zip(rows, self.vectors, strict=True)]


def is_frozen(tagger: Tagger) -> bool:
    """Return whether nothing of the encoder is trained."""
    return not any(parameter.requires_grad for parameter in tagger.encoder.parameters())


def embedded(
    tagger: Tagger, task: Task, encoded: Encoded, settings: Training, *, pad_id: int, cache: Path, base: str
) -> Embedded:
    """Return the examples with their vectors, from the cache where they are there.

    base: the fingerprint of the frozen encoder, quantisation included.
    """
    from filelock import FileLock

    identity = repr((FORMAT, encoded.key, base, settings.bf16, settings.device))
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npy"
    read = 0
    with FileLock(f"{file}.lock"):
        if not file.is_file():
            unfinished = file.with_suffix(f".{os.getpid()}.npy")
            np.save(unfinished, embed(tagger, task, encoded.rows, settings, pad_id=pad_id))
            unfinished.rename(file)  # atomic: a killed process leaves no half-written cache
            read = len(encoded)
        os.utime(file)  # now it was used
    return Embedded(encoded.notes, encoded.windows, encoded.unrepresentable, encoded.key, np.load(file), read)


@torch.inference_mode()
def embed(tagger: Tagger, task: Task, rows: Sequence[Row], settings: Training, *, pad_id: int) -> Vectors:
    """Return the examples' vectors. Shapes: returns (examples, H)."""
    torch.set_num_threads(settings.threads)
    tagger.eval()
    vectors_BH = np.zeros((len(rows), tagger.encoder.config.hidden_size), np.float32)
    for chosen in plan_batches([len(row["input_ids"]) for row in rows], batch_notes=0, batch_tokens=BATCH_TOKENS):
        batch = task.collate(rows, chosen, pad_id).to(settings.device)
        with autocast(settings.device, settings.bf16):
            vectors_BH[chosen] = task.vectors(tagger, batch).float().cpu().numpy()
    return vectors_BH
