"""All notes in one place: what a federation is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partitions.base import Holding, Partition

NAME = "pooled"


@dataclass(frozen=True)
class Pooled(Partition):
    """One clinic, "pooled", holds every note; all other clinics sit out."""

    random = False

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return the one clinic for each unit."""
        return {holding.unit: NAME for holding in holdings}
