"""Task: the plug-in class of `task=NAME`: which head stands on the base, its loss, and how it tags words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Task:
    """What is learnt on top of the encoder. Tags are numbered as in clinfed.tasks.bio."""

    head_dropout: float = 0.1

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return a new head; its parameters are trained fully and travel with the adapter."""
        raise NotImplementedError

    def loss(self, head: "nn.Module", hidden: "Tensor", tags: "Tensor") -> "Tensor":
        """Return the loss in nats. Shapes: hidden (N, H) of N words; tags (N,) int64; returns ()."""
        raise NotImplementedError

    def tag(self, head: "nn.Module", hidden: "Tensor", windows: "Tensor") -> "Tensor":
        """Return the predicted tags.

        Shapes: hidden (N, H), words in reading order; windows (N,) int64, the window of each word; returns (N,) int64.
        """
        raise NotImplementedError
