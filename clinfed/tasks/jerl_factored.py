"""The same tags from two small heads: is this word in a mention (B, I, O), and if so, of which code."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.tasks.base import Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class JerlFactored(Task):
    """p(B-code) = p(B) p(code): thousands of nearly always absent tags no longer compete with O at every word."""

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return mention Linear(H, 3) and code Linear(H, C) behind one dropout."""
        from torch import nn

        return nn.ModuleDict(
            {
                "dropout": nn.Dropout(self.head_dropout),
                "mention": nn.Linear(hidden_size, 3),
                "code": nn.Linear(hidden_size, num_codes),
            }
        )

    def loss(self, head: "nn.Module", hidden: "Tensor", tags: "Tensor") -> "Tensor":
        """Return mean cross-entropy of O/B/I over words plus that of the code over mention words, in nats.

        Shapes: hidden (N, H); tags (N,) int64; returns ().
        """
        from torch.nn import functional

        hidden = head["dropout"](hidden)
        inside = tags > 0
        mention = inside * (1 + (tags - 1) % 2)  # 0 O, 1 B, 2 I
        loss = functional.cross_entropy(head["mention"](hidden).float(), mention)
        if inside.any():
            loss = loss + functional.cross_entropy(head["code"](hidden[inside]).float(), (tags[inside] - 1) // 2)
        return loss

    def tag(self, head: "nn.Module", hidden: "Tensor", windows: "Tensor") -> "Tensor":
        """Return the tags of the most probable mentions; a mention's words vote on its code with log-probabilities.

        Shapes: hidden (N, H); windows (N,) int64, the window of each word; returns (N,) int64.
        """
        import torch

        hidden = head["dropout"](hidden)
        mention = head["mention"](hidden).argmax(-1)
        starts = torch.ones_like(mention, dtype=torch.bool)
        starts[1:] = (mention[1:] == 1) | (mention[:-1] == 0) | (windows[1:] != windows[:-1])
        inside = mention > 0
        if not inside.any():
            return mention
        group = torch.cumsum(starts[inside], 0) - 1
        scores = head["code"](hidden[inside]).float().log_softmax(-1)
        votes = torch.zeros(int(group[-1]) + 1, scores.shape[1], device=scores.device).index_add_(0, group, scores)
        tags = torch.zeros_like(mention)
        # An I after O begins a mention: a word inside a mention always belongs to one.
        within = torch.where(starts[inside] & ((mention[inside] == 1) | _after_outside(mention, windows)[inside]), 1, 2)
        tags[inside] = 2 * votes.argmax(-1)[group] + within
        return tags


def _after_outside(mention: "Tensor", windows: "Tensor") -> "Tensor":
    """Return which words follow an O word of their own window; a window's first word may continue the last window's."""
    import torch

    after = torch.zeros_like(mention, dtype=torch.bool)
    after[1:] = (mention[:-1] == 0) & (windows[1:] == windows[:-1])
    return after
