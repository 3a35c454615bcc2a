"""Clinics of very different size, otherwise alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinfed.settings import setting
from partitions.base import Holding, Partition
from partitions.spread import numbered, spread


@dataclass(frozen=True)
class Quantity(Partition):
    """Random patients, but the k-th clinic's share of the notes is proportional to k**-power."""

    power: float = setting(
        1.0,
        help="0 gives iid; 1 is Zipf's law: the second clinic has half as many notes as the first",
        least=0,
        most=20,
    )

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic."""
        shares = [float(rank**-self.power) for rank in range(1, num_clinics + 1)]
        return spread(holdings, numbered("clinic", num_clinics), rng, shares=shares)
