"""The picture of who holds what: each clinic's notes by language and its mentions by ICD-10 chapter.

draw(record["manifest"], "holdings.svg")
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.evaluation.report.colours import Colours, marks
from clinfed.evaluation.report.figures import new_figure, save
from clinfed.evaluation.report.plots import mark_names
from clinfed.evaluation.report.tables import NO_LANGUAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (("languages", "notes by language"), ("chapters", "mentions by ICD-10 chapter"))
_ROW_HEIGHT = 0.35  # inches a clinic
# The keys of a panel on one row of the legend: more would be wider than the panel.
_LEGEND_COLUMNS = 8


def draw(manifest: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Draw a partition's manifest (partitions.base.manifest) as stacked bars, a row a clinic; PNG or SVG by suffix.

    Raises: UserError for another suffix. ImportError where matplotlib is not installed.
    """
    save(figure_of(manifest), path)


def figure_of(manifest: Mapping[str, Mapping[str, Any]], colours: Colours | None = None) -> "Figure":
    """Return the picture. colours: the marks of clinics and languages."""
    colours = colours or Colours()
    figure = new_figure(12, 2.0 + _ROW_HEIGHT * max(1, len(manifest)))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (counted, title) in zip(panels, _PANELS, strict=True):
        known = {name: mark.colour for name, mark in colours.languages.items()} if counted == "languages" else {}
        _stack(axes, list(manifest), shares(manifest, counted), known)
        axes.set_title(title)
    mark_names(panels[0], list(manifest), colours.clinics or marks(manifest, first=5))
    panels[0].invert_yaxis()  # the first clinic on top; the panels share the axis
    return figure


def shares(manifest: Mapping[str, Mapping[str, Any]], counted: str) -> dict[str, list[int]]:
    """Return each key's counts, one a clinic in the manifest's order; the keys with most come first."""
    keys = {key for entry in manifest.values() for key in entry[counted]}
    rows = {key: [int(entry[counted].get(key, 0)) for entry in manifest.values()] for key in keys}
    return dict(sorted(rows.items(), key=lambda row: (-sum(row[1]), row[0])))


def _stack(axes: Any, clinics: list[str], rows: Mapping[str, list[int]], known: Mapping[str, str]) -> None:
    """Draw one horizontal bar a clinic, a piece a key. known: colours of keys."""
    import matplotlib as mpl

    colours = mpl.colormaps["tab20"]
    left = [0] * len(clinics)
    for number, (key, counts) in enumerate(rows.items()):
        # From the 21st key on the colours begin again; the edge and the order of the legend tell them apart.
        colour = known.get(key or NO_LANGUAGE) or colours(number % 20)
        axes.barh(clinics, counts, left=left, label=key, color=colour, edgecolor="white", linewidth=0.5)
        left = [before + count for before, count in zip(left, counts, strict=True)]
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    if rows:
        columns = min(len(rows), _LEGEND_COLUMNS)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=columns, frameon=False, fontsize="small")
