"""How many numbers are trained, travel, and stay: adapter, head and frozen base apart."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from clinfed.adapters.base import Adapter

WIRE_BYTES_PER_NUMBER = 4  # float32, as clinfed.adapters.codec sends it


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters; what is trained is what travels, one way, per clinic and round."""

    adapter: int  # trained in the encoder
    head: int
    frozen: int

    @property
    def trainable(self) -> int:
        """Return how many numbers are trained."""
        return self.adapter + self.head

    @property
    def wire_bytes(self) -> int:
        """Return the tensors' bytes in one direction, without the message around them."""
        return WIRE_BYTES_PER_NUMBER * self.trainable

    def as_dict(self) -> dict[str, int]:
        """Return all counts by name."""
        return {**asdict(self), "trainable": self.trainable, "wire_bytes": self.wire_bytes}


def count(encoder: "nn.Module", head: "nn.Module") -> ParameterCount:
    """Return the counts of an encoder with its adapter attached, and a head; any device, the meta device included."""
    sizes = [(_numbers(parameter), parameter.requires_grad) for parameter in encoder.parameters()]
    return ParameterCount(
        adapter=sum(size for size, trains in sizes if trains),
        head=sum(parameter.numel() for parameter in head.parameters()),
        frozen=sum(size for size, trains in sizes if not trains),
    )


def count_parameters(encoder: "nn.Module", adapter: "Adapter", head: "nn.Module") -> ParameterCount:
    """Attach the adapter to a bare encoder (usually clinfed.bases.meta_encoder) and return the counts."""
    return count(adapter.attach(encoder.requires_grad_(False)), head)


def _numbers(parameter: "nn.Parameter") -> int:
    """Return how many numbers a parameter stands for: NF4 packs two into a byte and keeps the true shape beside."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)
