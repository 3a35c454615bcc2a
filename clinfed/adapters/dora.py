"""DoRA: LoRA turns the direction of each linear layer's rows, and a magnitude a row is trained beside.

Source: Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation, section 4; implemented by peft.
"""

from dataclasses import dataclass
from typing import ClassVar

from clinfed.adapters.lora import Lora


@dataclass(frozen=True)
class Dora(Lora):
    """LoRA and one magnitude an output; magnitudes start at the base's norms and are averaged like A and B."""

    decomposed: ClassVar[bool] = True
