"""No adapter: the encoder stays as it is, and only the head is trained and sent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import Adapter

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NoAdapter(Adapter):
    """Nothing of the encoder is trained. A task that needs one vector an example reads each note once."""

    def attach(self, encoder: "nn.Module") -> "nn.Module":
        """Return the encoder, frozen as it came."""
        return encoder
