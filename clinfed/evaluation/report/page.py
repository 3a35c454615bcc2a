"""The report: one self-contained HTML file that needs no network, beside the same tables as CSV and Markdown."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from clinfed.corpus.source import TEST
from clinfed.evaluation.merging import median_score, scores_without_each
from clinfed.evaluation.report.colours import Colours
from clinfed.evaluation.report.comparison import SCORES_HEAD, comparison_rows, score_rows
from clinfed.evaluation.report.documents import FinishedDocuments, document_rows
from clinfed.evaluation.report.figures import inline_svg, save
from clinfed.evaluation.report.gains import GAINS_HEAD, GAINS_TITLE, gain_rows
from clinfed.evaluation.report.highlights import Piece
from clinfed.evaluation.report.lead import verdict
from clinfed.evaluation.report.learning import LEARNING_HEAD, LEARNING_TITLE, learning_rows
from clinfed.evaluation.report.outcomes import (
    COVERAGE_HEAD,
    COVERAGE_TITLE,
    MISTAKES_HEAD,
    MISTAKES_TITLE,
    RELIABILITY_HEAD,
    RELIABILITY_TITLE,
    coverage_rows,
    mistake_rows,
    reliability_rows,
)
from clinfed.evaluation.report.pairs import (
    DIFFERENCES_HEAD,
    SURPLUS_HEAD,
    TOTALS,
    difference_rows,
    differences,
    mcnemar_note,
    pair_by_code,
    side_of,
    surplus_lines,
    surplus_rows,
)
from clinfed.evaluation.report.pictures import Picture, pictures_of
from clinfed.evaluation.report.reread import PageText
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.report.siblings import SIBLINGS_HEAD, SIBLINGS_TITLE, sibling_rows
from clinfed.evaluation.report.support import SUPPORT_HEAD, SUPPORT_TITLE, support_rows
from clinfed.evaluation.report.tables import bars, one_clinics_part
from clinfed.evaluation.report.templates import rendered

DIFFERENCES = "differences"  # the name of their table
DIFFERENCES_TITLE = "Paired differences"
SOURCES_HEAD = ("system", "seed", "started", "adapter", "code", "machine", "seconds", "record")


@dataclass(frozen=True)
class ShownNote:
    """A note of a public or invented corpus, in pieces to highlight."""

    id: str
    language: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Report:
    """What a report shows. sources: row and seed -> where that run's record is, as it may be printed."""

    results: Sequence[Result]
    sources: Mapping[tuple[str, int], str]
    notes: Sequence[ShownNote] = ()
    notes_by: str = ""  # whose predictions they show
    corpus: str = ""
    documents: Mapping[int, FinishedDocuments] = field(default_factory=dict)  # by seed; a table of its own
    by_code: Sequence[str] = ()  # names of the two rows whose codes are compared; by default as pair_by_code says
    title: str = "clinfed report"

    def write(self, target: Path) -> list[Path]:
        """Write the page and, beside it, its tables and pictures; return all files."""
        target.parent.mkdir(parents=True, exist_ok=True)
        head, rows, below = comparison_rows(self.results)
        pictures = pictures_of(self.results, Colours.of(self.results))
        target.write_text(self._page(head, rows, below, pictures), encoding="utf-8")
        files = [target]
        for picture in pictures:
            for suffix in (".svg", ".png"):
                files.append(target.with_name(f"{target.stem}-{picture.name}{suffix}"))
                save(picture.figure, files[-1])
        for path, lines in self._tables_beside(target).items():
            files.append(path)
            with path.open("w", encoding="utf-8", newline="") as table:
                csv.writer(table).writerows(lines)
        files.append(target.with_suffix(".md"))
        files[-1].write_text("\n".join(self._markdown(head, rows, below)) + "\n", encoding="utf-8")
        return files

    def differing(self, target: Path) -> list[str]:
        """Return the names of those of a page, its Markdown and its tables that do not say what the counts give again.

        Those that are not there are among them.
        """
        head, rows, below = comparison_rows(self.results)
        markdown = "\n".join(self._markdown(head, rows, below)) + "\n"
        wrong = [] if self._is_again(target) else [target.name]
        wrong += [] if _read(target.with_suffix(".md")) == markdown else [target.with_suffix(".md").name]
        for path, lines in self._tables_beside(target).items():
            wrong += [] if [*csv.reader(_read(path).splitlines())] == lines else [path.name]
        return wrong

    def _is_again(self, target: Path) -> bool:
        """Return whether the page's tables and what stands above and below them are what the counts give again."""
        page = PageText(_read(target))
        wanted = [line for lines in self._tables_beside(target).values() for line in lines]
        wanted += [[*SOURCES_HEAD], *self._sources]
        below = self._below(comparison_rows(self.results)[2])
        lines = [verdict(self.results, self._differences), self._evaluated(), *below, *filter(None, [self._mcnemar()])]
        return sorted(page.rows) == sorted(wanted) and set(lines) <= set(page.lines)

    def _tables_beside(self, target: Path) -> dict[Path, list[list[str]]]:
        """Return the CSV files beside a page with their lines."""
        head, rows, _ = comparison_rows(self.results)
        beside = {target.with_suffix(".csv"): [head, *rows]}
        for name, _, table_head, table_rows in self._tables():
            beside[target.with_name(f"{target.stem}-{name}.csv")] = [[*table_head], *([*row] for row in table_rows)]
        return beside

    def _markdown(self, head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str]) -> list[str]:
        """Return the lines of all tables, with the same words as on the page."""
        lines = [
            verdict(self.results, self._differences),
            "",
            self._evaluated(),
            "",
            *bars(head, rows),
            "",
            *self._below(below),
        ]
        for name, title, table_head, table_rows in self._tables():
            lines += ["", f"## {title}", "", *bars(table_head, table_rows)]
            lines += ["", self._mcnemar()] if name == DIFFERENCES else []
        return [*lines, "", "## Where each number comes from", "", *bars(SOURCES_HEAD, self._sources)]

    def _below(self, lines: Sequence[str]) -> list[str]:
        """Return what stands below the first table.

        Its own lines, what one clinic makes of a run's score, and what the rows compared by code have in all.
        """
        alone = [
            f"{result.name}, seed {seed}: {line}"
            for result in self.results
            for seed, run in result.runs.items()
            for line in one_clinics_part(
                median_score(run.by_clinic("test")), scores_without_each(run.by_clinic("test"))
            )
        ]
        return [*lines, *alone, *(surplus_lines(*pair) if (pair := self._pair) else [])]

    def _page(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str], pictures: Sequence[Picture]
    ) -> str:
        from markupsafe import Markup

        return rendered(
            "page.html.jinja",
            title=self.title,
            verdict=verdict(self.results, self._differences),
            evaluated=self._evaluated(),
            head=head,
            rows=rows,
            below=self._below(below),
            tables=[each[1:] for each in self._tables()],
            legend=Colours.of(self.results).legend(),
            marks=Colours.of(self.results).rows,
            differences=DIFFERENCES_TITLE,
            sides=[side_of(each) for each in self._differences],
            totals=TOTALS,  # this row is not sorted among the others
            mcnemar=self._mcnemar(),
            # Our own pictures, whose texts are escaped.
            plots=[(each.title, Markup(inline_svg(each.figure, each.title, each.description))) for each in pictures],
            notes=self.notes,
            notes_by=self.notes_by,
            corpus=self.corpus,
            sources_head=SOURCES_HEAD,
            sources=self._sources,
        )

    def _mcnemar(self) -> str:
        """Return the note below the differences, nothing where there are none."""
        return mcnemar_note(self.results, self._differences) if self._differences else ""

    @cached_property
    def _differences(self) -> list[dict[str, Any]]:
        return differences(self.results)

    @property
    def _pair(self) -> tuple[Result, Result] | None:
        return pair_by_code(self.results, self.by_code)

    def _tables(self) -> list[tuple[str, str, Sequence[str], Sequence[Sequence[str]]]]:
        """Return name, title, header and rows of the tables beside the first, those that have rows."""
        found: list[tuple[str, str, Sequence[str], Sequence[Sequence[str]]]] = [
            (DIFFERENCES, DIFFERENCES_TITLE, DIFFERENCES_HEAD, difference_rows(self._differences)),
        ]
        if pair := self._pair:
            title = f"By code: {pair[0].name} (ours) against {pair[1].name} (theirs)"
            found.append(("surplus", title, SURPLUS_HEAD, surplus_rows(*pair)))
        title = "Every score: means over seeds, validation after the last round"
        found.append(("scores", title, SCORES_HEAD, score_rows(self.results)))
        found.append(("siblings", SIBLINGS_TITLE, SIBLINGS_HEAD, sibling_rows(self.results)))
        found += [
            ("gains", GAINS_TITLE, GAINS_HEAD, gain_rows(self.results)),
            ("support", SUPPORT_TITLE, SUPPORT_HEAD, support_rows(self.results)),
            ("mistakes", MISTAKES_TITLE, MISTAKES_HEAD, mistake_rows(self.results)),
            ("calibration", RELIABILITY_TITLE, RELIABILITY_HEAD, reliability_rows(self.results)),
            ("coverage", COVERAGE_TITLE, COVERAGE_HEAD, coverage_rows(self.results)),
            ("learning", LEARNING_TITLE, LEARNING_HEAD, learning_rows(self.results)),
        ]
        if self.documents:
            head, rows, _ = document_rows(self.documents)
            title = "Document level: which codes a note holds (not comparable with strict spans)"
            found.append(("documents", title, head, rows))
        return [each for each in found if each[3]]

    def _evaluated(self) -> str:
        run = next(run for result in self.results for _, run in _runs(result))
        labels = run.record["labels"]
        return (
            f"Strict: exact span and code, against all gold, on {_on(run.record)}. Labels: {labels['name']}, "
            f"{labels['codes']:,} codes. Intervals: 95%, over patients and, with several seeds, over seeds."
        )

    @property
    def _sources(self) -> list[list[str]]:
        return [self._source(result.name, seed, run) for result in self.results for seed, run in _runs(result)]

    def _source(self, name: str, seed: int, run: Finished) -> list[str]:
        record = run.record
        machine = (
            f"{record['machine'].get('processor') or record['machine']['name']}, {record['machine']['cores']} cores"
        )
        cells = [name, str(seed), record["started"], record["adapter_sha256"][:12], record["fingerprints"]["code"][:12]]
        return [*cells, machine, f"{record['seconds']:.0f}", self.sources.get((name, seed), "")]


def _on(record: Mapping[str, Any]) -> str:
    """Return what was evaluated: test notes, unless it is a development set."""
    part = record.get("evaluated", TEST)
    return "test notes" if part == TEST else f"a {part}, not a test"


def _read(path: Path) -> str:
    """Return a file's text, "" where there is none to read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _runs(result: Result) -> list[tuple[int, Finished]]:
    return sorted(result.runs.items())
