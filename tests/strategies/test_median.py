"""The median, by hand."""

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.median import Median


def median_of(*values: list[float]) -> list[float]:
    updates = [AdapterUpdate(f"clinic-{i}", AdapterState({"w": np.array(v)}), 1 + 9 * i) for i, v in enumerate(values)]
    strategy = Median()
    after = strategy.aggregate(strategy.start(AdapterState({"w": np.zeros(len(values[0]))})), updates)
    return list(after.adapter["w"])


def test_each_number_is_the_middle_one_of_the_clinics_whatever_their_notes() -> None:
    assert median_of([1.0, 9.0], [2.0, 8.0], [40.0, 7.0]) == [2.0, 8.0]  # the mean by notes would be 27.3 and 7.3


def test_of_an_even_number_it_is_the_mean_of_the_middle_two() -> None:
    assert median_of([1.0], [2.0], [4.0], [1e30]) == [3.0]


def test_a_minority_moves_nothing_far() -> None:
    honest = [[0.9], [1.0], [1.1]]
    assert 0.9 <= median_of(*honest, [-1e30], [-1e30])[0] <= 1.1
