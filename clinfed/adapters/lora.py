"""LoRA: the update of each linear layer as a product of two thin matrices.

Source: Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, section 4.1; implemented by peft.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from clinfed.adapters.base import DROPOUT, RANK, SCALE, PeftAdapter
from clinfed.settings import setting

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn


@dataclass(frozen=True)
class Lora(PeftAdapter):
    """W x + alpha/r * B A x on every linear layer of every encoder layer; B starts at 0, so round 0 equals the base.

    The mean of several clinics' A and B is not the mean of their products B A: that error is FedIT's, and is accepted.
    """

    r: int = setting(16, help="rank: rows of A, columns of B", **RANK)
    alpha: float = setting(32.0, help="the update is scaled by alpha / r", **SCALE)
    dropout: float = setting(0.0, help="part of the adapter's input that a step leaves out", **DROPOUT)

    decomposed: ClassVar[bool] = False

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the peft model around the encoder; only A and B require gradients.

        Its layers take their inputs as they come: else each is widened to A's float32, and narrowed again by autocast
        to the same numbers. Dropout and DoRA's norms are computed in the input's own precision, and keep the wide one.
        """
        from peft.tuners.tuners_utils import BaseTunerLayer

        model = super().attach(encoder)
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.cast_input_dtype_enabled = bool(self.decomposed or self.dropout)
        return model

    def config(self, encoder: "nn.Module", targets: Sequence[str]) -> "PeftConfig":
        """Return peft's LoRA without biases."""
        from peft import LoraConfig, TaskType

        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            bias="none",
            use_dora=self.decomposed,
            target_modules=list(targets),
            task_type=TaskType.FEATURE_EXTRACTION,
        )
