"""Clinics that each write in one language."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partitions.base import Holding, Partition, clinics_per_language
from partitions.spread import numbered, spread


@dataclass(frozen=True)
class Language(Partition):
    """A patient goes, with all notes, to a clinic of the language of most of the patient's notes.

    With one clinic a language the clinics are named by it ("ca", "es"); with more ("ca-1", "ca-2", ...), each
    language's patients are spread over its clinics, balanced by notes.
    """

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic."""
        clinic_of: dict[str, str] = {}
        for language, count in clinics_per_language(holdings, num_clinics).items():
            inside = [holding for holding in holdings if holding.language == language]
            clinics = [language] if count == 1 else numbered(language, count)
            clinic_of |= spread(inside, clinics, rng)
        return clinic_of
