"""Task: the plug-in class of `task=NAME`: which head stands on the base, its loss, and how it tags words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinfed.settings import setting

if TYPE_CHECKING:
    from torch import Tensor, nn


DROPOUT: dict[str, Any] = {"least": 0, "below": 1, "unit": "fraction"}  # limits of head_dropout
FIRST_TRUST = 4.0  # nats that a lexicon's finding adds before anything is learnt: odds of 55 to 1


@dataclass
class Task:
    """What is learnt on top of the encoder. Tags are numbered as in clinfed.tasks.bio."""

    head_dropout: float = setting(0.1, help="part of the head's input that a step leaves out", **DROPOUT)
    lexicon: bool = setting(False, help="what each clinic's private lexicon finds is an input of the head")

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return a new head; its parameters are trained fully and travel with the adapter."""
        raise NotImplementedError

    def rows(self, name: str, tags: "Tensor") -> "Tensor | None":
        """Return which rows of a parameter of the head the words of these tags are the positive examples of.

        name: within the head. None: it has no row a code or tag. Shapes: tags (T,) int64; returns (R,) int64.
        """
        raise NotImplementedError

    def loss(self, head: "nn.Module", hidden: "Tensor", tags: "Tensor", hints: "Tensor") -> "Tensor":
        """Return the loss in nats. Shapes: hidden (N, H) of N words; tags, hints (N,) int64; returns ()."""
        raise NotImplementedError

    def tag(self, head: "nn.Module", hidden: "Tensor", windows: "Tensor", hints: "Tensor") -> "Tensor":
        """Return the predicted tags. Shapes: as in `scored`; returns (N,) int64."""
        return self.scored(head, hidden, windows, hints)[0]

    def scored(
        self, head: "nn.Module", hidden: "Tensor", windows: "Tensor", hints: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Return the predicted tags, and how probable it is that each word is inside a mention of its tag's code.

        That is p(B-code) + p(I-code), in [0, 1]; 0 at words that are tagged O.

        Shapes: hidden (N, H), words in reading order; windows (N,) int64, the window of each word; hints (N,) int64,
        the tag that a lexicon gives each word, 0 where none or unless `lexicon`; returns (N,) int64 and (N,) float32.
        """
        raise NotImplementedError


def weights(*rows: Sequence[float]) -> "nn.Module":
    """Return learnt numbers that start at these rows, as a module: heads are saved and sent by parameter names."""
    import torch
    from torch import nn

    table = nn.Embedding(len(rows), len(rows[0]))
    with torch.no_grad():
        table.weight.copy_(torch.tensor(rows))
    return table


def add_hint(logits: "Tensor", columns: "Tensor", hinted: "Tensor", weight: "Tensor") -> "Tensor":
    """Return logits with the weight added in each hinted row at its column.

    Shapes: logits (N, C); columns (N,) int64; hinted (N,) bool; weight (); returns (N, C).
    """
    return logits.scatter_add(1, columns.unsqueeze(1), (hinted * weight).unsqueeze(1).to(logits.dtype))
