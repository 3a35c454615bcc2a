"""Joint entity recognition and linking with one softmax over O and all B-/I-code tags, the reference paper's head."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.tasks.base import Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Jerl(Task):
    """A linear layer to L = 2C + 1 tags.

    Source: Estupiñán-Ojeda et al. 2025, JAMIA Open, doi 10.1093/jamiaopen/ooaf120, "Mention preprocess".
    """

    head_dropout: float = 0.2  # the paper's

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return Linear(H, L)."""
        from torch import nn

        return nn.ModuleDict(
            {"dropout": nn.Dropout(self.head_dropout), "tag": nn.Linear(hidden_size, 2 * num_codes + 1)}
        )

    def loss(self, head: "nn.Module", hidden: "Tensor", tags: "Tensor") -> "Tensor":
        """Return the mean cross-entropy over words, in nats. Shapes: hidden (N, H); tags (N,) int64; returns ()."""
        from torch.nn import functional

        return functional.cross_entropy(head["tag"](head["dropout"](hidden)).float(), tags)

    def tag(self, head: "nn.Module", hidden: "Tensor", windows: "Tensor") -> "Tensor":
        """Return the most probable tag of each word. Shapes: hidden (N, H); returns (N,) int64."""
        return head["tag"](hidden).argmax(-1)
