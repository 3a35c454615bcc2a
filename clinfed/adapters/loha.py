"""LoHa: the update of each linear layer as the elementwise product of two products of thin matrices.

Source: Hyeon-Woo et al. 2022, FedPara: Low-rank Hadamard Product, section 2; implemented by peft.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import PeftAdapter

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn


@dataclass
class Loha(PeftAdapter):
    """W x + alpha/r * (B1 A1 * B2 A2) x: twice LoRA's numbers, rank up to r^2; the four factors are averaged."""

    r: int = 16
    alpha: float = 32.0
    rank_dropout: float = 0.0  # share of the update's rows that a step leaves out
    module_dropout: float = 0.0  # share of the updates that a step leaves out

    def config(self, encoder: "nn.Module", targets: Sequence[str]) -> "PeftConfig":
        """Return peft's LoHa."""
        from peft import LoHaConfig

        return LoHaConfig(
            r=self.r,
            alpha=self.alpha,
            rank_dropout=self.rank_dropout,
            module_dropout=self.module_dropout,
            target_modules=list(targets),
        )
