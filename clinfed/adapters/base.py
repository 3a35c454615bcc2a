"""Adapter: the plug-in class of `adapter=NAME`, which decides which parameters of the encoder are trained.

    >>> from torch import nn
    >>> class Biases(Adapter):
    ...     '''The encoder's biases and nothing else (BitFit, Ben Zaken et al. 2022).'''
    ...     def attach(self, encoder):
    ...         for name, parameter in encoder.named_parameters():
    ...             parameter.requires_grad_(name.endswith("bias"))
    ...         return encoder
    >>> encoder = Biases().attach(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    >>> [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    ['0.bias', '2.bias']

A method of peft subclasses PeftAdapter and returns peft's configuration; `lora.py` is the shortest.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from clinfed.bases.quantized import quiet_bitsandbytes
from clinfed.bases.targets import refuse_unknown, target_modules
from clinfed.settings import check, setting

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn
    from transformers import BitsAndBytesConfig

# Limits of what several methods have.
RANK: dict[str, Any] = {"least": 1, "most": 8_192}
SCALE: dict[str, Any] = {"above": 0, "most": 1e6}
DROPOUT: dict[str, Any] = {"least": 0, "below": 1, "unit": "fraction"}


@dataclass(frozen=True)
class Adapter:
    """Which parameters of a frozen encoder are trained. One module per method; the module's name is the option's name.

    The head is no part of it: it is ours, outside peft, always trainable and never quantised.
    """

    four_bit: ClassVar[bool] = False  # the base is held in 4 bits

    @abstractmethod
    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the encoder with this method's parameters requiring gradients, and no others.

        New parameters are drawn from torch's global generator: the caller seeds it just before.
        """
        raise NotImplementedError

    def quantization(self) -> "BitsAndBytesConfig | None":
        """Return how the base is to be loaded, None for float32."""
        return None


@dataclass(frozen=True)
class PeftAdapter(Adapter):
    """A method of peft on linear layers; round 0 equals the base. What a method adds is its `config`."""

    target_modules: list[str] = setting([], help="layers by name; empty: all linear layers inside encoder layers")

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the peft model around the encoder; only the method's own parameters require gradients."""
        quiet_bitsandbytes()  # peft imports it whether or not the base is quantised
        from peft import get_peft_model

        check("adapter", self)
        refuse_unknown(encoder, self.target_modules)
        config = self.config(encoder, list(self.target_modules) or target_modules(encoder))
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 by the old name; nothing that a user could do about it.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(encoder, config)

    @abstractmethod
    def config(self, encoder: "nn.Module", targets: Sequence[str]) -> "PeftConfig":
        """Return peft's configuration for these layers of the encoder."""
        raise NotImplementedError
