"""Full fine-tuning, for comparison: every parameter of the encoder is trained and travels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import Adapter

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Full(Adapter):
    """All encoder parameters, embeddings included; there is no pooler."""

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the same encoder with every parameter requiring gradients."""
        return encoder.requires_grad_(True)
