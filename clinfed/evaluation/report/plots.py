"""The report's plots, from run records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinfed.evaluation.comparison import System
from clinfed.evaluation.report.colours import NEUTRAL, Colours, Mark, marks
from clinfed.evaluation.report.figures import new_figure
from clinfed.evaluation.report.tables import MB, NO_LANGUAGE
from clinfed.runs.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BIN, BINS = 4, 12  # of gold mentions of a code: the width of a bin, and how many there are, the last one open
LEGEND_LETTERS = 120  # that find room beside one another
PHASES_COLOURS = "cividis"  # from dark to light, in the order of time: unlike those of rows
PHASES = ("start", "load", "train", "serialise", "aggregate", "evaluate")


def systems(shown: Sequence[System], rows: Mapping[str, Mark] | None = None) -> "Figure":
    """Return each system's test F1 with its interval; small marks are its seeds, where there are several.

    rows: the marks of the systems, by name.
    """
    rows = rows or marks(system.name for system in shown)
    figure = new_figure(10, 1.0 + 0.32 * len(shown))
    axes = figure.subplots()
    for place, system in enumerate(shown):
        f1, (low, high) = system.f1(), system.interval()
        spread = [[max(0.0, f1 - low)], [max(0.0, high - f1)]]
        mark = rows[system.name]
        axes.errorbar([f1], [place], xerr=spread, marker=mark.marker, color=mark.colour, capsize=3)
        if len(system.runs) > 1:
            seeds = system.by_seed()
            axes.plot(seeds, [place] * len(seeds), linestyle="", marker="|", markersize=9, color=NEUTRAL)
    axes.set_yticks(range(len(shown)), [system.name for system in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("strict micro-F1 on test, 95% interval")
    _finish(axes)
    return figure


def rounds(record: RunRecord, colours: Colours | None = None, mark: Mark | None = None) -> "Figure":
    """Return validation F1 after each round: all, by language and by clinic. mark: of the run's row."""
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    evaluated = [(entry["round"], entry["validation"]) for entry in record["rounds"] if entry["validation"]]
    numbers = [number for number, _ in evaluated]
    whole = [each["micro"]["f1"] for _, each in evaluated]
    left.plot(numbers, whole, marker="o", label="all", color=(mark or Mark()).colour, linewidth=2.5)
    colours = colours or Colours()
    panels = (
        (left, "by_language", "validation F1 by language", colours.languages),
        (right, "by_clinic", "by clinic", colours.clinics),
    )
    for axes, key, title, known in panels:
        parts: list[Any] = [dict(each)[key] for _, each in evaluated]
        names = sorted({name or NO_LANGUAGE for part in parts for name in part})
        named = known or marks(names, first=2)
        for name in names:
            by_name = [{one or NO_LANGUAGE: score for one, score in part.items()} for part in parts]
            scores = [each.get(name, {}).get("f1", float("nan")) for each in by_name]
            own = named[name]
            axes.plot(numbers, scores, marker=own.marker, markersize=4, color=own.colour, label=name)
        axes.set_title(title)
        axes.set_xlabel("round")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(bottom=0)
        _finish(axes)
    return figure


def costs(rows: Sequence[Mapping[str, Any]], named: Mapping[str, Mark] | None = None) -> "Figure":
    """Return test F1 against trainable parameters and against bytes. rows: name, f1, interval, trainable, bytes.

    named: the marks of the rows, by name.
    """
    named = named or marks(row["name"] for row in rows)
    columns = max(1, LEGEND_LETTERS // max(len(row["name"]) + 6 for row in rows))  # 6: for the mark
    figure = new_figure(10, 4 + 0.2 * -(-len(rows) // columns))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, title in zip(
        panels, ("trainable", "bytes"), ("trainable parameters", "MB sent in all"), strict=True
    ):
        for row in rows:
            value = row[key] if key == "trainable" else row[key] / MB
            low, high = row["interval"]
            spread = [[max(0.0, row["f1"] - low)], [max(0.0, high - row["f1"])]]
            own = named[row["name"]]
            shape = {"marker": own.marker, "color": own.colour, "capsize": 3, "label": row["name"]}
            axes.errorbar([value], [row["f1"]], yerr=spread, **shape)
        axes.set_xlabel(title)
        _scale_costs(axes, [row[key] for row in rows], has_zero=key == "bytes")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("strict micro-F1 on test")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
    return figure


def _scale_costs(axes: Any, values: Sequence[float], *, has_zero: bool) -> None:
    """Set a logarithmic axis where the values need one: within a power of ten its labels would lie over each other."""
    if max(values) < 10 * min(values):
        axes.locator_params(axis="x", nbins=4)
    else:
        axes.set_xscale("symlog" if has_zero else "log")
        axes.xaxis.set_minor_formatter("")
    axes.xaxis.set_major_formatter("{x:,.6g}")  # a logarithmic axis's own would be formulas, which are not drawn


def seconds(records: Mapping[str, RunRecord], rows: Mapping[str, Mark] | None = None) -> "Figure":
    """Return each run's seconds by phase, summed over workers. rows: their marks, which stand beside their names."""
    import matplotlib as mpl

    figure = new_figure(10, 1.2 + 0.4 * len(records))
    axes = figure.subplots()
    left = [0.0] * len(records)
    shades = mpl.colormaps[PHASES_COLOURS]
    for number, phase in enumerate(PHASES):
        width = [float(record.get("seconds_split", {}).get(phase, 0.0)) for record in records.values()]
        shade = shades(number / (len(PHASES) - 1))
        axes.barh(list(records), width, left=left, label=phase, color=shade, edgecolor=NEUTRAL, linewidth=0.5)
        left = [before + each for before, each in zip(left, width, strict=True)]
    axes.invert_yaxis()
    mark_names(axes, list(records), rows or marks(records))
    axes.set_xlabel("seconds, all workers")
    _finish(axes)
    return figure


def mark_names(axes: Any, names: Sequence[str], named: Mapping[str, Mark]) -> None:
    """Draw each row's mark beside its name, on the left of horizontal bars."""
    for place, name in enumerate(names):
        own = named[name]
        shape = {"marker": own.marker, "color": own.colour, "markersize": 7, "clip_on": False}
        axes.plot([-0.012], [place], transform=axes.get_yaxis_transform(), linestyle="", **shape)
    axes.tick_params(axis="y", length=0, pad=12)


def frequencies(supports: Mapping[str, Mapping[str, int]], languages: Mapping[str, Mark] | None = None) -> "Figure":
    """Return how many codes have how many gold mentions, in bins of four. supports: language -> code -> mentions.

    languages: their marks.
    """
    languages = languages or marks(supports, first=2)
    figure = new_figure(10, 3)
    axes = figure.subplots()
    width = 0.8 / max(1, len(supports))
    for number, (language, support) in enumerate(supports.items()):
        places = [place + number * width for place in range(BINS)]
        colour = languages[language].colour
        axes.bar(places, list(binned(support).values()), width, label=language, color=colour)
    middle = (len(supports) - 1) * width / 2
    axes.set_xticks([place + middle for place in range(BINS)], list(binned({})))
    axes.set_xlabel("gold mentions of a code")
    axes.set_ylabel("codes")
    _finish(axes)
    return figure


def binned(support: Mapping[str, int]) -> dict[str, int]:
    """Return how many codes are in each bin of gold mentions: 1-4, 5-8, ... support: code -> mentions."""
    starts = range(1, 1 + BINS * BIN, BIN)
    names = [f"{start}-{start + BIN - 1}" for start in starts[:-1]] + [f"{starts[-1]}+"]
    found = Counter(min((mentions - 1) // BIN, BINS - 1) for mentions in support.values())
    return {name: found[place] for place, name in enumerate(names)}


def labels(manifest: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Return the mentions of each ICD-10 chapter, all clinics together."""
    ordered = chapters(manifest)
    figure = new_figure(10, 3)
    axes = figure.subplots()
    axes.bar(list(ordered), list(ordered.values()), color=NEUTRAL)
    axes.set_ylabel("mentions")
    axes.set_xlabel("ICD-10 chapter")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def chapters(manifest: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return each chapter's mentions at all clinics together, the largest first."""
    totals: Counter[str] = Counter()
    for entry in manifest.values():
        totals.update({chapter: int(count) for chapter, count in entry["chapters"].items()})
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _finish(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:  # a run without validation notes has no line to name
        # Beside the axes: no name lies over a line or a bar, whose colour may hide it.
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
