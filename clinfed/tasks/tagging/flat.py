"""Joint entity recognition and linking with one softmax over O and all B-/I-code tags, the reference paper's head."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinfed.settings import setting
from clinfed.tasks.tagging.base import DROPOUT, FIRST_TRUST, Tagging, add_feature, weights

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Jerl(Tagging):
    """A linear layer to L = 2C + 1 tags.

    Source: Estupiñán-Ojeda et al. 2025, JAMIA Open, doi 10.1093/jamiaopen/ooaf120, "Mention preprocess".
    """

    name = "jerl"

    head_dropout: float = setting(
        0.2, help="part of the head's input that a step leaves out; the default is the paper's", **DROPOUT
    )

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return Linear(H, L) and, with a lexicon, the weight of its tags."""
        from torch import nn

        parts: dict[str, nn.Module] = {
            "dropout": nn.Dropout(self.head_dropout),
            "tag": nn.Linear(hidden_size, 2 * num_codes + 1),
        }
        if self.lexicon:
            parts["hint"] = weights([FIRST_TRUST])
        return nn.ModuleDict(parts)

    def tag_rows(self, name: str, tags: "Tensor") -> "Tensor | None":
        """Return the tags themselves: the last layer has a row for each."""
        return tags if name.startswith("tag.") else None

    def word_loss(self, head: Any, hidden: "Tensor", tags: "Tensor", features: "Tensor") -> "Tensor":
        """Return the mean cross-entropy over words, in nats. Shapes: hidden (N, H); tags, features (N,); returns ()."""
        from torch.nn import functional

        named = tags < head["tag"].out_features
        if not named.all():  # a mention of no code: one softmax has nothing to learn of it
            hidden, tags, features = hidden[named], tags[named], features[named]
        return functional.cross_entropy(self._logits(head, hidden, features), tags)

    def scored(self, head: Any, hidden: "Tensor", windows: "Tensor", features: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the most probable tag of each word, and the probability of its code's two tags.

        Shapes: hidden (N, H); windows, features (N,); returns (N,) int64 and (N,) float32.
        """
        import torch

        logits_NL = self._logits(head, hidden, features)
        tags_N = logits_NL.argmax(-1)
        scores_N = torch.zeros(tags_N.shape, device=tags_N.device)
        inside_N = tags_N > 0  # few words: a softmax over all of them would double the largest tensor of prediction
        begin_I = tags_N[inside_N] - (tags_N[inside_N] - 1) % 2
        probabilities_IL = logits_NL[inside_N].softmax(-1)
        scores_N[inside_N] = probabilities_IL.gather(1, torch.stack([begin_I, begin_I + 1], 1)).sum(-1)
        return tags_N, scores_N

    def _logits(self, head: Any, hidden: "Tensor", features: "Tensor") -> "Tensor":
        """Return logits of the tags. Shapes: hidden (N, H); features (N,) int64; returns (N, L)."""
        logits_NL: Tensor = head["tag"](head["dropout"](hidden)).float()
        return add_feature(logits_NL, features, features > 0, head["hint"].weight[0, 0]) if self.lexicon else logits_NL
