"""IA3: each linear layer's outputs (or inputs) are stretched by one trained factor each.

Source: Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning,
section 3.3; implemented by peft.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import PeftAdapter

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn


@dataclass(frozen=True)
class Ia3(PeftAdapter):
    """One factor an output, starting at 1. Factors are averaged, which is exact: the update is linear in them."""

    def config(self, encoder: "nn.Module", targets: Sequence[str]) -> "PeftConfig":
        """Return peft's IA3, stretching outputs everywhere."""
        from peft import IA3Config

        return IA3Config(target_modules=list(targets), feedforward_modules=[])
