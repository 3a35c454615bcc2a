"""The colours of a report: readable, told apart without them, and one for each name wherever it stands."""

import itertools
import re
from typing import Any

import pytest

from clinfed.evaluation.report import plots
from clinfed.evaluation.report.colours import MARKERS, PALETTE, SIGNS, Colours, marks
from clinfed.evaluation.report.pairs import side_of
from clinfed.evaluation.report.templates import anchor, rendered


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", PALETTE)
def test_each_colour_stands_out_on_white_and_on_the_dark_page(colour: str) -> None:
    on_white, on_dark = 1.05 / (luminance(colour) + 0.05), (luminance(colour) + 0.05) / (luminance("#161616") + 0.05)
    assert min(on_white, on_dark) >= 3  # WCAG 1.4.11, graphics


def test_eighty_names_have_marks_of_their_own_and_neighbours_differ_in_both() -> None:
    found = list(marks(f"row {number}" for number in range(80)).values())
    assert len({(mark.colour, mark.marker) for mark in found}) == 80
    assert all(one.colour != other.colour and one.sign != other.sign for one, other in itertools.pairwise(found))
    assert all(MARKERS.index(mark.marker) == SIGNS.index(mark.sign) for mark in found)


def test_a_row_has_its_colour_in_every_plot() -> None:
    named = marks(["one", "two"])
    row: dict[str, Any] = {"f1": 0.5, "interval": (0.4, 0.6), "trainable": 10, "bytes": 1e6}
    alone = plots.costs([row | {"name": "two"}], named)
    assert alone.axes[0].containers[0][0].get_color() == named["two"].colour != named["one"].colour
    bars = plots.seconds({"two": {}}, named)  # type: ignore[typeddict-item]
    [beside] = [line for line in bars.axes[0].lines if line.get_marker() == named["two"].marker]
    assert beside.get_color() == named["two"].colour


def test_a_clinic_and_a_language_keep_theirs_over_panels() -> None:
    colours = Colours(clinics=marks(["nord", "sud"], first=5), languages=marks(["ca", "es"], first=2))
    score = {"f1": 0.5}
    validation = {"micro": score, "by_language": {"es": score}, "by_clinic": {"sud": score}}
    figure = plots.rounds({"rounds": [{"round": 1, "validation": validation}]}, colours)  # type: ignore[typeddict-item]
    left, right = figure.axes
    assert left.lines[1].get_color() == colours.languages["es"].colour
    assert right.lines[0].get_color() == colours.clinics["sud"].colour


def test_a_difference_is_better_worse_or_not_told_apart() -> None:
    intervals = {"better": [0.01, 0.2], "worse": [-0.2, -0.01], "even": [-0.1, 0.0]}
    assert {side: side_of({"interval": interval}) for side, interval in intervals.items()} == {
        side: side for side in intervals
    }


def test_the_contents_lead_to_every_section_and_signs_stand_beside_colours() -> None:
    named = marks(["one", "two"])
    differences = [["one", "two", ".100 [.010, .200]"], ["two", "one", "-.100 [-.200, -.010]"]]
    page = rendered(
        "page.html.jinja",
        title="report",
        plots=[("F1 of each system: one & all", "")],
        tables=[("Paired differences", ["ours", "theirs", "difference"], differences)],
        differences="Paired differences",
        sides=["better", "worse"],
        marks=named,
        legend=Colours(rows=named).legend(),
        head=["system"],
        rows=[["one"]],
        sources_head=["system"],
        sources=[["two"]],
    )
    links, sections = re.findall(r'href="#([^"]+)"', page), re.findall(r'<h2 id="([^"]+)"', page)
    assert links == sections
    assert len(set(links)) == 4
    assert anchor("F1 of each system: one & all") in links
    assert 'class="number better"' in page
    assert '.better::before { content: "\\2191' in page
    one = f'data-sign="●" style="color: {named["one"].colour}"></span>one'
    assert page.count(one) == 4  # the legend, the first table, and both columns of the differences
