"""LoRA: the update of each linear layer as a product of two thin matrices.

Source: Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, section 4.1; implemented by peft.
"""

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clinfed.adapters.base import Adapter
from clinfed.bases.quantized import quiet_bitsandbytes
from clinfed.bases.targets import target_modules
from clinfed.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Lora(Adapter):
    """W x + alpha/r * B A x on every linear layer of every encoder layer; B starts at 0, so round 0 equals the base."""

    r: int = 16
    alpha: float = 32.0  # 2 r: the update's scale stays the same when both change together
    dropout: float = 0.0  # on the adapter's input
    target_modules: list[str] = field(default_factory=list)  # empty: all linear layers inside encoder layers

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the peft model around the encoder; only A and B require gradients."""
        quiet_bitsandbytes()  # peft imports it whether or not the base is quantised
        from peft import LoraConfig, TaskType, get_peft_model

        if self.r < 1:
            raise UserError(f"adapter.r={self.r}: expected a rank of at least 1")
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            bias="none",
            target_modules=list(self.target_modules) or target_modules(encoder),
            task_type=TaskType.FEATURE_EXTRACTION,
        )
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 by the old name; nothing that a user could do about it.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(encoder, config)
