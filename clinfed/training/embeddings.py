"""One vector a note, from a frozen encoder that reads each note once: vectors are kept on disk for later runs.

A vector tells much of its note: the cache is private to the clinic (mode 0700) and never leaves it.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from clinfed.bases import Base, fingerprint, load_encoder, load_tokenizer, tokenizer_fingerprint
from clinfed.corpus.note import Note
from clinfed.training.batches import plan_batches
from clinfed.training.model import autocast
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1  # of the cache; another number makes old caches unreadable, never wrong
BATCH_TOKENS = 4096  # padded tokens a batch: without gradients a larger batch only fills caches


@dataclass
class Embedder:
    """Gives notes their vectors; the encoder is loaded at the first note that no cache holds.

    pooling: "mean" over the sub-words of all windows, or "cls", the first sub-word of the first window.
    """

    base: Base
    settings: Training  # window, threads, bf16, device
    pooling: str
    cache: Path
    read: int = 0  # notes that the encoder has read, each once

    def vectors(self, notes: Sequence[Note]) -> NDArray[np.float32]:
        """Return the notes' vectors, from the cache where they are there. Shapes: returns (notes, H)."""
        from filelock import FileLock

        self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.cache / f"{self._key(notes)}.npy"
        with FileLock(f"{file}.lock"):
            if not file.is_file():
                unfinished = file.with_suffix(f".{os.getpid()}.npy")
                np.save(unfinished, self._embed(notes))
                unfinished.rename(file)  # atomic: a killed process leaves no half-written cache
        found: NDArray[np.float32] = np.load(file)
        return found

    @cached_property
    def encoder(self) -> "nn.Module":
        """Return the frozen encoder."""
        return load_encoder(self.base, device=self.settings.device)

    @cached_property
    def tokenizer(self) -> Any:
        """Return the base's tokenizer."""
        return load_tokenizer(self.base)

    @cached_property
    def _identity(self) -> str:
        settings = self.settings
        parts = (FORMAT, fingerprint(self.base), tokenizer_fingerprint(self.base), settings.window, self.pooling)
        return repr((*parts, settings.bf16, settings.device))

    def _key(self, notes: Sequence[Note]) -> str:
        digest = hashlib.sha256(self._identity.encode())
        for note in notes:
            digest.update(repr((note.id, note.text)).encode())
        return digest.hexdigest()[:32]

    @torch.inference_mode()
    def _embed(self, notes: Sequence[Note]) -> NDArray[np.float32]:
        torch.set_num_threads(self.settings.threads)
        self.read += len(notes)
        sums = np.zeros((len(notes), self.encoder.config.hidden_size), np.float64)
        tokens = np.zeros((len(notes), 1), np.int64)
        windows, owners = self._windows(notes)
        for rows in plan_batches([len(ids) for ids in windows], batch_notes=0, batch_tokens=BATCH_TOKENS):
            hidden, mask = self._hidden([windows[row] for row in rows])
            for row, vectors, real in zip(rows, hidden, mask, strict=True):
                pooled = vectors[real] if self.pooling == "mean" else vectors[:1]
                sums[owners[row]] += pooled.sum(axis=0)
                tokens[owners[row]] += len(pooled)
        return (sums / np.maximum(tokens, 1)).astype(np.float32)

    def _windows(self, notes: Sequence[Note]) -> tuple[list[list[int]], list[int]]:
        """Return the sub-words of each window and the row of its note; only the first window where pooling is "cls"."""
        if not notes:
            return [], []
        encoded = self.tokenizer(
            [note.text for note in notes],
            max_length=self.settings.window,
            truncation=True,
            return_overflowing_tokens=self.pooling == "mean",
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        owners = encoded.get("overflow_to_sample_mapping", range(len(notes)))
        return encoded["input_ids"], list(owners)

    def _hidden(self, windows: Sequence[Sequence[int]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the encoder's output, and where it is of a sub-word. Shapes: (B, T, H) and (B, T)."""
        longest = max(len(ids) for ids in windows)
        mask = np.array([[place < len(ids) for place in range(longest)] for ids in windows])
        padded = np.full(mask.shape, self.tokenizer.pad_token_id, np.int64)
        padded[mask] = np.concatenate([np.asarray(ids) for ids in windows])
        device = self.settings.device
        with autocast(device, self.settings.bf16):
            hidden = self.encoder(
                input_ids=torch.from_numpy(padded).to(device),
                attention_mask=torch.from_numpy(mask.astype(np.int64)).to(device),
            ).last_hidden_state
        return hidden.double().cpu().numpy(), mask
