"""Dealing patients evenly, or by given shares: the step that several partitions have in common."""

from collections.abc import Sequence

import numpy as np

from partitions.base import Holding


def numbered(name: str, count: int) -> list[str]:
    """Return name-1 ... name-count, padded with zeros so that the order of names is the order of numbers."""
    return [f"{name}-{number:0{len(str(count))}d}" for number in range(1, count + 1)]


def spread(
    holdings: Sequence[Holding],
    clinics: Sequence[str],
    rng: np.random.Generator,
    *,
    shares: Sequence[float] | None = None,
) -> dict[str, str]:
    """Return each unit's clinic: in random order, each to the clinic that is furthest below its share of the notes.

    shares: relative sizes, equal where not given. A clinic misses its share by about one patient's notes at most.
    """
    shares = [1.0] * len(clinics) if shares is None else shares
    held = [0] * len(clinics)
    clinic_of: dict[str, str] = {}
    for index in rng.permutation(len(holdings)):
        holding = holdings[index]
        # Filled up to the same fraction of its share; the first clinic among equals.
        chosen = min(range(len(clinics)), key=lambda clinic: (held[clinic] + holding.notes) / shares[clinic])
        held[chosen] += holding.notes
        clinic_of[holding.unit] = clinics[chosen]
    return clinic_of
