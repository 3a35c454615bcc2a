"""Adapter: the plug-in that decides which parameters of the encoder are learnt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn
    from transformers import BitsAndBytesConfig


@dataclass
class Adapter:
    """Which parameters of a frozen encoder are learnt. One module per method; the module's name is the option's name.

    The head is no part of it: it is ours, outside peft, always trainable and never quantised.
    """

    aggregation: ClassVar[str] = "mean"  # how the tensors of several clinics may be combined

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the encoder with this method's parameters requiring gradients, and no others.

        New parameters are drawn from torch's global generator: the caller seeds it just before.
        """
        raise NotImplementedError

    def quantization(self) -> "BitsAndBytesConfig | None":
        """Return how the base is to be loaded, None for float32."""
        return None
