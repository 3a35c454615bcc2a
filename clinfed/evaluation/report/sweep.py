"""The report of a sweep: what each row's trials have reached on validation notes, and with which settings."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed.evaluation.report.colours import Mark, marks
from clinfed.evaluation.report.figures import inline_svg, new_figure, save
from clinfed.evaluation.report.pictures import Picture
from clinfed.evaluation.report.tables import bars, fraction
from clinfed.evaluation.report.templates import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOSEN_HEAD = ("row", "trials", "best validation F1", "trial", "settings")
TITLE = "Validation F1 of each trial"
EVALUATED = (
    "Strict micro-F1 on validation notes after training in one place; test notes are not looked at. Two rows are "
    "comparable where they had as many trials, on the same notes."
)


@dataclass(frozen=True)
class Trial:
    """One training. number: from 1, in the order of drawing; settings: what was drawn."""

    number: int
    f1: float
    settings: Mapping[str, str]
    seconds: float

    @property
    def written(self) -> str:
        """Return the settings as overrides."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())


@dataclass(frozen=True)
class Searched:
    """A row of a sweep and its finished trials, at least one."""

    name: str
    trials: Sequence[Trial]

    @cached_property
    def best(self) -> Trial:
        """Return the first of the trials with the highest F1."""
        return max(self.trials, key=lambda trial: trial.f1)


@dataclass(frozen=True)
class SweepReport:
    """What the page of a sweep shows. shared: what all rows were given."""

    rows: Sequence[Searched]
    shared: str = ""

    def write(self, target: Path) -> list[Path]:
        """Write the page and, beside it, its tables and picture; return all files."""
        from markupsafe import Markup

        target.parent.mkdir(parents=True, exist_ok=True)
        picture = Picture("trials", TITLE, self._figure(), self._description())
        page = rendered(
            "sweep.html.jinja",
            title="clinfed report of a sweep",
            verdict=self.verdict(),
            evaluated=self.evaluated(),
            head=CHOSEN_HEAD,
            rows=self._chosen(),
            marks=self._marks,
            plot_title=TITLE,
            # Our own picture, whose texts are escaped.
            plot=Markup(inline_svg(picture.figure, picture.title, picture.description)),
            tables=self._tables(),
        )
        target.write_text(page, encoding="utf-8")
        files = [target]
        for suffix in (".svg", ".png"):
            files.append(target.with_name(f"{target.stem}-{picture.name}{suffix}"))
            save(picture.figure, files[-1])
        files.append(target.with_suffix(".csv"))
        with files[-1].open("w", encoding="utf-8", newline="") as table:
            csv.writer(table).writerows(self._all_trials())
        files.append(target.with_suffix(".md"))
        files[-1].write_text("\n".join(self._markdown()) + "\n", encoding="utf-8")
        return files

    @property
    def _marks(self) -> dict[str, Mark]:
        return marks(row.name for row in self.rows)

    def verdict(self) -> str:
        """Return the best of all trials in a sentence."""
        row = max(self.rows, key=lambda row: row.best.f1)
        trials = f"{len(row.trials)} trial{'s' if len(row.trials) > 1 else ''}"
        return (
            f"The best validation F1 is {fraction(row.best.f1)}: {row.name}, trial {row.best.number} of {trials}, "
            f"with {row.best.written or 'nothing drawn'}."
        )

    def evaluated(self) -> str:
        """Return what the numbers are."""
        return f"{EVALUATED} All rows: {self.shared}." if self.shared else EVALUATED

    def _chosen(self) -> list[list[str]]:
        return [
            [row.name, str(len(row.trials)), fraction(row.best.f1), str(row.best.number), row.best.written]
            for row in self.rows
        ]

    def _tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Return title, header and rows of each row's trials, the best first."""
        found = []
        for row in self.rows:
            keys = _keys(row.trials)
            best_first = sorted(row.trials, key=lambda trial: (-trial.f1, trial.number))
            found.append((f"Trials: {row.name}", ["trial", *_HEAD, *keys], [_cells(each, keys) for each in best_first]))
        return found

    def _all_trials(self) -> list[list[str]]:
        keys = _keys(trial for row in self.rows for trial in row.trials)
        return [["row", "trial", *_HEAD, *keys]] + [
            [row.name, *_cells(trial, keys)] for row in self.rows for trial in row.trials
        ]

    def _markdown(self) -> list[str]:
        lines = [self.verdict(), "", self.evaluated(), "", *bars(CHOSEN_HEAD, self._chosen())]
        for title, head, rows in self._tables():
            lines += ["", f"## {title}", "", *bars(head, rows)]
        return lines

    def _figure(self) -> "Figure":
        figure = new_figure(10, 4 + 0.2 * len(self.rows))
        axes = figure.subplots()
        for row in self.rows:
            numbers = [trial.number for trial in row.trials]
            best = [max(trial.f1 for trial in row.trials[: place + 1]) for place in range(len(row.trials))]
            mark = self._marks[row.name]
            axes.step(numbers, best, where="post", color=mark.colour)
            scores = [trial.f1 for trial in row.trials]
            axes.plot(numbers, scores, linestyle="", marker=mark.marker, color=mark.colour, label=row.name)
        axes.set_xlabel("trial; the line is the best until then")
        axes.set_ylabel("validation F1")
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", frameon=False, fontsize="small")
        return figure

    def _description(self) -> str:
        rows = (f"{row.name} " + " ".join(fraction(trial.f1) for trial in row.trials) for row in self.rows)
        return f"Validation F1 of the trials in their order: {'; '.join(rows)}."


_HEAD = ("validation F1", "seconds")


def _keys(trials: Iterable[Trial]) -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.settings))


def _cells(trial: Trial, keys: Sequence[str]) -> list[str]:
    settings = [trial.settings.get(key, "-") for key in keys]
    return [str(trial.number), fraction(trial.f1), f"{trial.seconds:.0f}", *settings]
