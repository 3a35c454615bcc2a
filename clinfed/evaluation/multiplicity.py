"""Tests of many pairs, and of mentions that come in patients.

Source: Holm 1979, A simple sequentially rejective multiple test procedure; Durkalski et al. 2003, Analysis of clustered
matched-pair data (here each mention weighs alike, as in micro-averages).
"""

import math
from collections.abc import Mapping, Sequence

from clinfed.evaluation.counts import Counts
from clinfed.evaluation.unit_counts import UnitCounts


def holm(values: Sequence[float]) -> list[float]:
    """Return each p adjusted for all of them, in their order.

    Refusing what lies below alpha refuses any true null hypothesis of the family with probability alpha at most.
    """
    adjusted, least = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = least
    return adjusted


def clustered_p(ours: Mapping[str, UnitCounts], theirs: Mapping[str, UnitCounts]) -> float | None:
    """Return McNemar's two-sided p with patients as clusters, by the normal distribution.

    Of each patient only how many gold mentions ours found more than theirs is needed: the sum of these differences has,
    where both are equally good, the sum of their squares as variance. By clinic; None where nothing was kept, and
    where the gold mentions differ, as on other notes.
    """
    differences = []
    for clinic in ours.keys() | theirs.keys():
        mine, other = ours.get(clinic, {}), theirs.get(clinic, {})
        for unit in mine.keys() | other.keys():
            one, another = (sum(of.get(unit, {}).values(), Counts()) for of in (mine, other))
            if one.support != another.support:
                return None
            differences.append(one.tp - another.tp)
    squares = sum(each**2 for each in differences)
    if not squares:
        return 1.0 if differences else None
    return math.erfc(abs(sum(differences)) / math.sqrt(2 * squares))
