"""Clinics as they are in the corpus."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinfed.errors import UserError
from partitions.base import UNKNOWN, Holding, Partition
from partitions.spread import numbered


@dataclass(frozen=True)
class Clinic(Partition):
    """A patient goes, with all notes, to the clinic where most of them were written.

    Where the corpus names more clinics than there are, they are grouped, whole: from the largest on, each joins the
    group with the fewest notes ("group-1", "group-2", ...). Where it names fewer, the rest sits out.
    """

    random = False

    def assign(self, holdings: Sequence[Holding], num_clinics: int, rng: np.random.Generator) -> dict[str, str]:
        """Return each unit's clinic; nothing here is random."""
        sizes: Counter[str] = Counter()
        for holding in holdings:
            sizes[holding.clinic] += holding.notes
        if set(sizes) == {UNKNOWN}:
            raise UserError("partition=clinic: no note of this corpus names its clinic; choose another partition")
        if len(sizes) <= num_clinics:
            return {holding.unit: holding.clinic for holding in holdings}
        groups = numbered("group", num_clinics)
        held = dict.fromkeys(groups, 0)
        group_of: dict[str, str] = {}
        for clinic in sorted(sizes, key=lambda name: (-sizes[name], name)):
            group_of[clinic] = min(groups, key=lambda group: (held[group], group))
            held[group_of[clinic]] += sizes[clinic]
        return {holding.unit: group_of[holding.clinic] for holding in holdings}
