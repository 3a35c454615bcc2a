"""The same tags from two small heads: is this word in a mention (B, I, O), and if so, of which code."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinfed.tasks.tagging.base import FIRST_TRUST, Tagging, add_feature, weights

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class JerlFactored(Tagging):
    """p(B-code) = p(B) p(code): thousands of nearly always absent tags no longer compete with O at every word."""

    name = "jerl_factored"

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return mention Linear(H, 3) and code Linear(H, C) behind one dropout; with a lexicon, its features' weights.

        mention_hint: what no feature, a B feature and an I feature add to O, B, I. code_hint: what one adds to a code.
        """
        from torch import nn

        parts: dict[str, nn.Module] = {
            "dropout": nn.Dropout(self.head_dropout),
            "mention": nn.Linear(hidden_size, 3),
            "code": nn.Linear(hidden_size, num_codes),
        }
        if self.lexicon:
            parts["mention_hint"] = weights([0.0, 0.0, 0.0], [0.0, FIRST_TRUST, 0.0], [0.0, 0.0, FIRST_TRUST])
            parts["code_hint"] = weights([FIRST_TRUST])
        return nn.ModuleDict(parts)

    def tag_rows(self, name: str, tags: "Tensor") -> "Tensor | None":
        """Return the tags' codes: the code layer has a row for each, the mention layer is everybody's."""
        return _code(tags[tags > 0]).unique() if name.startswith("code.") else None

    def word_loss(self, head: Any, hidden: "Tensor", tags: "Tensor", features: "Tensor") -> "Tensor":
        """Return the mean cross-entropy of the tags over words, in nats: -log p(O), or -log p(B or I) - log p(code).

        Shapes: hidden (N, H); tags, features (N,) int64; returns ().
        """
        from torch.nn import functional

        hidden_NH = head["dropout"](hidden)
        inside_N = tags > 0
        loss = functional.cross_entropy(self._mentions(head, hidden_NH, features), _kind(tags))
        inside_N &= _code(tags) < head["code"].out_features  # a mention of no code teaches where it is, and no more
        if inside_N.any():
            logits_IC = self._codes(head, hidden_NH[inside_N], features[inside_N])
            # Over all words, as the mentions' loss: else a code outweighs a boundary, and boundaries fail.
            loss = loss + functional.cross_entropy(logits_IC, _code(tags[inside_N]), reduction="sum") / len(tags)
        return loss

    def _mentions(self, head: Any, hidden: "Tensor", features: "Tensor") -> "Tensor":
        """Return logits of O, B, I. Shapes: hidden (N, H); features (N,) int64; returns (N, 3)."""
        logits_N3: Tensor = head["mention"](hidden).float()
        return logits_N3 + head["mention_hint"](_kind(features)) if self.lexicon else logits_N3

    def _codes(self, head: Any, hidden: "Tensor", features: "Tensor") -> "Tensor":
        """Return logits of the codes. Shapes: hidden (N, H); features (N,) int64; returns (N, C)."""
        logits_NC: Tensor = head["code"](hidden).float()
        if not self.lexicon:
            return logits_NC
        return add_feature(logits_NC, _code(features).clamp(min=0), features > 0, head["code_hint"].weight[0, 0])

    def scored(self, head: Any, hidden: "Tensor", windows: "Tensor", features: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the tags of the most probable mentions; a mention's words vote on its code with log-probabilities.

        The scores are (p(B) + p(I)) p(code), where p(code) is the normalised geometric mean of the votes.

        Shapes: hidden (N, H); windows (N,) int64, the window of each word; features (N,) int64; returns (N,) int64 and
        (N,) float32.
        """
        import torch

        hidden_NH = head["dropout"](hidden)
        mentions_N3 = self._mentions(head, hidden_NH, features)
        kind_N = mentions_N3.argmax(-1)
        starts_N = torch.ones_like(kind_N, dtype=torch.bool)
        starts_N[1:] = (kind_N[1:] == 1) | (kind_N[:-1] == 0) | (windows[1:] != windows[:-1])
        inside_N = kind_N > 0
        scores_N = torch.zeros(kind_N.shape, device=kind_N.device)
        if not inside_N.any():
            return kind_N, scores_N
        mention_I = torch.cumsum(starts_N[inside_N], 0) - 1  # which mention each word is in
        words_IC = self._codes(head, hidden_NH[inside_N], features[inside_N]).log_softmax(-1)
        votes_MC = torch.zeros(int(mention_I[-1]) + 1, words_IC.shape[1], device=words_IC.device)
        votes_MC.index_add_(0, mention_I, words_IC)
        code_M = votes_MC.argmax(-1)
        tags_N = torch.zeros_like(kind_N)
        # An I after O begins a mention: a word inside a mention always belongs to one.
        begins_N = starts_N & ((kind_N == 1) | _after_outside(kind_N, windows))
        tags_N[inside_N] = 2 * code_M[mention_I] + torch.where(begins_N[inside_N], 1, 2)
        mean_MC = votes_MC / torch.bincount(mention_I).unsqueeze(1)  # a sum would count words as independent
        certainty_M = mean_MC.softmax(-1).gather(1, code_M.unsqueeze(1))[:, 0]
        scores_N[inside_N] = (1 - mentions_N3[inside_N].softmax(-1)[:, 0]) * certainty_M[mention_I]
        return tags_N, scores_N


def _kind(tags: "Tensor") -> "Tensor":
    """Return 0 for O, 1 for B and 2 for I tags. Shapes: (N,) int64, returned too."""
    return (tags > 0) * (1 + (tags - 1) % 2)


def _code(tags: "Tensor") -> "Tensor":
    """Return the code's number of B and I tags, less than 0 for O. Shapes: (N,) int64, returned too."""
    return (tags + 1) // 2 - 1


def _after_outside(mention: "Tensor", windows: "Tensor") -> "Tensor":
    """Return which words follow an O word of their own window; a window's first word may continue the last window's.

    Shapes: mention, windows (N,) int64; returns (N,) bool.
    """
    import torch

    after_N = torch.zeros_like(mention, dtype=torch.bool)
    after_N[1:] = (mention[:-1] == 0) & (windows[1:] == windows[:-1])
    return after_N
