"""Keeping a 4-bit base what it was: bitsandbytes rewrites parts of it while it is used."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def steady(encoder: "nn.Module") -> "nn.Module":
    """Return the encoder, in place, with 4-bit layers whose bytes stay the same through training and inference.

    Two habits of bitsandbytes 0.50 are met here. On processors with AVX512-BF16 the first inference repacks the weights
    for a kernel without gradients, so that later training would be silently wrong. And the first forward pass rounds
    the biases to the compute type; here that is done at once.
    """
    from bitsandbytes.nn import Linear4bit

    for layer in encoder.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            if layer.bias is not None:
                layer.bias.data = layer.bias.data.to(layer.compute_dtype)
    return encoder


def quiet_bitsandbytes() -> None:
    """Silence its notice, at import, of an optional package that fetches kernels over the network: not wanted here."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
