"""Clinics that are alike: the easiest federation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partitions.base import Holding, Partition
from partitions.spread import numbered, spread


@dataclass(frozen=True)
class Iid(Partition):
    """Patients in random order, spread so that all clinics hold about as many notes."""

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic."""
        return spread(holdings, numbered("clinic", num_clinics), rng)
