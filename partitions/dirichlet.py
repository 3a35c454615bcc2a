"""Clinics with a different mix of diseases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinfed.settings import setting
from partitions.base import Holding, Partition
from partitions.spread import numbered


@dataclass(frozen=True)
class Dirichlet(Partition):
    """Each chapter draws the clinics' shares from Dirichlet(alpha), and its patients are dealt by these shares.

    A patient's chapter is that of most of the patient's mentions. Sizes follow by chance, and a clinic may get none.
    Source: Hsu et al. 2019, Measuring the Effects of Non-Identical Data Distribution, section 3, by chapter.
    """

    alpha: float = setting(
        0.3, help="towards 0 a chapter is in one clinic; from about 100 the clinics are alike", above=0, most=1e6
    )

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic."""
        clinics = numbered("clinic", num_clinics)
        clinic_of: dict[str, str] = {}
        for chapter in sorted({holding.chapter for holding in holdings}):
            units = [holding.unit for holding in holdings if holding.chapter == chapter]
            shares = rng.dirichlet([self.alpha] * num_clinics)
            chosen = rng.choice(num_clinics, size=len(units), p=shares)
            clinic_of |= {unit: clinics[index] for unit, index in zip(units, chosen, strict=True)}
        return clinic_of
