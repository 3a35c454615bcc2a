"""The report's plots draw the numbers that they are given."""

import warnings

import numpy as np
import pytest

from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report import plots
from clinfed.evaluation.report.colours import NEUTRAL


def evaluated(tp: int, *, worst: int, best: int) -> SpanCounts:
    """Return ten gold mentions of which tp are found, and two replicates in which worst and best are."""
    replicates = np.array([[found, 10 - found, 10 - found] for found in (worst, best)])
    return SpanCounts({("ca", "J00"): Counts(tp, 10 - tp, 10 - tp)}, {"ca": replicates})


def test_each_system_is_drawn_with_its_interval_and_its_seeds() -> None:
    federated = System("federated", [evaluated(7, worst=6, best=9), evaluated(9, worst=8, best=10)])
    lexicon = System("lexicon, pooled", [evaluated(5, worst=5, best=5)])
    [axes] = plots.systems([federated, lexicon]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["federated", "lexicon, pooled"]
    assert axes.yaxis_inverted()  # the first row of the table on top
    assert [list(bars[0].get_xdata()) for bars in axes.containers] == [pytest.approx([0.8]), pytest.approx([0.5])]
    low, high = federated.interval()
    [[left, right]] = axes.containers[0][2][0].get_segments()
    assert (left[0], right[0]) == (pytest.approx(low), pytest.approx(high))
    [seeds] = [line.get_xdata() for line in axes.lines if line.get_marker() == "|" and line.get_color() == NEUTRAL]
    assert list(seeds) == pytest.approx([0.7, 0.9])


@pytest.mark.parametrize("name", ["row", "federated (strategy=fedrows training.batch_notes=4)", "W" * 60])
def test_seventy_two_rows_can_be_told_apart_by_what_they_cost(name: str) -> None:
    rows = [
        {"name": f"{name} {number}", "f1": 0.5, "interval": (0.4, 0.6), "trainable": 10 + number, "bytes": 1e6 * number}
        for number in range(72)
    ]
    figure = plots.costs(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()  # matplotlib warns where the legend leaves no room for the axes
    [legend] = figure.legends
    points = [bars[0] for bars in figure.axes[0].containers]
    marks = {(point.get_color(), point.get_marker()) for point in points}
    assert len(legend.get_texts()) == len(marks) == len(rows)
    for axes in figure.axes:
        assert axes.get_window_extent().height > 200  # pixels
        assert not axes.get_window_extent().overlaps(legend.get_window_extent())
    left, right = (getattr(legend.get_window_extent(), side) for side in ("x0", "x1"))
    assert 0 <= left < right <= figure.get_size_inches()[0] * figure.dpi
