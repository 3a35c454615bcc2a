"""The pictures of a report, each with its title and with what it shows in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinfed.evaluation.report import alternatives, holdings, plots
from clinfed.evaluation.report.colours import Colours
from clinfed.evaluation.report.comparison import all_systems
from clinfed.evaluation.report.lead import leading
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import NO_LANGUAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with its title and its text alternative. name: of its file."""

    name: str
    title: str
    figure: "Figure"
    description: str


def pictures_of(results: Sequence[Result], colours: Colours) -> list[Picture]:
    """Return the pictures, in the report's colours.

    Rounds, codes, chapters and holdings are those of the leading row's first run.
    """
    lead = leading(results)
    run = next(iter(lead.runs.values()))
    manifest = run.record["manifest"]
    shown = all_systems(results)
    spent = [_cost(each) for each in results if each.runs]
    first = {result.name: next(iter(result.runs.values())).record for result in results if result.runs}
    supports = {language or NO_LANGUAGE: run.adapter.support(language) for language in run.adapter.languages}
    return [
        Picture("systems", "F1 of each system", plots.systems(shown, colours.rows), alternatives.systems(shown)),
        Picture(
            "rounds",
            f"F1 after each round: {lead.name}",
            plots.rounds(run.record, colours, colours.rows[lead.name]),
            alternatives.rounds(run.record),
        ),
        Picture("costs", "F1 against what it costs", plots.costs(spent, colours.rows), alternatives.costs(spent)),
        Picture(
            "frequencies",
            "Codes by how often gold has them in the test split",
            plots.frequencies(supports, colours.languages),
            alternatives.frequencies(supports),
        ),
        Picture("labels", "Mentions by ICD-10 chapter", plots.labels(manifest), alternatives.labels(manifest)),
        Picture("holdings", "Who holds what", holdings.figure_of(manifest, colours), alternatives.holdings(manifest)),
        Picture("seconds", "Seconds by phase", plots.seconds(first, colours.rows), alternatives.seconds(first)),
    ]


def _cost(result: Result) -> dict[str, Any]:
    record = next(iter(result.runs.values())).record
    sent = record["bytes_up"] + record["bytes_down"]
    trainable = record["probes"]["trainable_parameters"]
    system = result.system
    row = {"name": result.name, "f1": system.f1(), "interval": system.interval()}
    return row | {"trainable": trainable, "bytes": sent}
