"""4-bit layers as memory sees them, for estimates without weights."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

# NF4 with double quantisation: half a byte a weight, one byte a block of 64, four bytes for 256 such blocks.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)


def replace_four_bit(encoder: nn.Module) -> int:
    """Put stand-ins in place of the layers that carry an adapter; return the bytes of their packed weights."""
    packed = 0
    for part in list(encoder.modules()):
        layer = getattr(part, "base_layer", None)
        if isinstance(layer, nn.Linear):
            packed += round(layer.weight.numel() * NF4_BYTES)
            part.base_layer = FourBitShape(layer)
    return packed


class FourBitShape(nn.Module):
    """The weight appears in bfloat16 for each use, forward and backward, and nothing of the input is kept."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias

    def forward(self, x: "Tensor") -> "Tensor":
        """Return a tensor of the layer's output shape. Shapes: x (..., in_features); returns (..., out_features)."""
        shape = (self.out_features, self.in_features)
        out: Tensor = _Unpacked.apply(x.to(torch.bfloat16), *shape)  # type: ignore[no-untyped-call]  # torch's own
        return (out if self.bias is None else out + self.bias.to(out.dtype)).to(x.dtype)


class _Unpacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: "Tensor", *shape: int) -> "Tensor":
        ctx.shape = shape
        return x @ x.new_empty(shape).t()

    @staticmethod
    def backward(ctx: Any, *grads: "Tensor") -> Any:
        return grads[0] @ grads[0].new_empty(ctx.shape), None, None
