"""LoHa: the update of each linear layer as the elementwise product of two products of thin matrices.

Source: Hyeon-Woo et al. 2022, FedPara: Low-rank Hadamard Product, section 2; implemented by peft.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import DROPOUT, RANK, SCALE, PeftAdapter
from clinfed.settings import setting

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn


@dataclass(frozen=True)
class Loha(PeftAdapter):
    """W x + alpha/r * (B1 A1 * B2 A2) x: twice LoRA's numbers, rank up to r^2; the four factors are averaged."""

    r: int = setting(16, help="rank of both products", **RANK)
    alpha: float = setting(32.0, help="the update is scaled by alpha / r", **SCALE)
    rank_dropout: float = setting(0.0, help="part of the update's rows that a step leaves out", **DROPOUT)
    module_dropout: float = setting(0.0, help="part of the updates that a step leaves out", **DROPOUT)

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
