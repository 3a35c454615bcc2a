"""What the functions of `clinfed` return: plain objects with tables, which pandas and notebooks can show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.corpus.note import PredictedNote
from clinfed.evaluation.files import Basis
from clinfed.evaluation.report.tables import SYSTEMS
from clinfed.evaluation.scores import Evaluation
from clinfed.runs import record as records

if TYPE_CHECKING:
    import pandas

SHOWN_ROWS = 20  # of a table in a notebook


@dataclass(frozen=True)
class ResultTable(Sequence[Mapping[str, Any]]):
    """Rows with the same columns: a sequence of dictionaries, which prints as a table. An absent cell is None.

    ```python
    result.scores[0]["f1"]
    result.scores.to_pandas().sort_values("f1")
    ```
    """

    rows: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns, in their order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a data frame. Raises: ImportError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas() needs pandas, which clinfed does not: pip install pandas") from None
        return pandas.DataFrame(list(self.rows), columns=self.columns)

    def __str__(self) -> str:
        cells = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._cells())
        rest = f"<p>{len(self) - SHOWN_ROWS:,} more rows</p>" if len(self) > SHOWN_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"

    def _cells(self) -> Iterator[list[str]]:
        columns = self.columns
        return ([_shown(row.get(name)) for name in columns] for row in self.rows[:SHOWN_ROWS])


class Tabled:
    """A result whose main table is `table`: it shows itself in a notebook, and becomes a data frame."""

    @property
    def table(self) -> ResultTable:
        """Return the main table."""
        raise NotImplementedError

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the main table as a data frame. Raises: ImportError where pandas is not installed."""
        return self.table.to_pandas()

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True)
class RunResult(Tabled):
    """A finished run. folder: where its adapter, its record and its counts are."""

    folder: Path

    @cached_property
    def record(self) -> records.RunRecord:
        """Return the run record: settings, fingerprints, rounds, scores."""
        return records.read(self.folder / "record.json")

    @property
    def summary(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return records.summary(self.record, self.folder / "record.json")

    @property
    def f1(self) -> float | None:
        """Return the adapter's strict micro-F1 on test, all gold; None where the task counts no hits and misses."""
        found: float | None = self.summary.get("micro_f1")
        return found

    @property
    def scores(self) -> ResultTable:
        """Return the test scores: a row for each system and gold."""
        return ResultTable(
            tuple(
                {"system": system, "gold": gold, **_scored(evaluated)}
                for system, golds in sorted(self.record["test"].items(), key=lambda each: _place(each[0]))
                for gold, evaluated in golds.items()
            )
        )

    @property
    def rounds(self) -> ResultTable:
        """Return a row for each round. Units: seconds; bytes of tensors."""
        return ResultTable(tuple(_round(each) for each in self.record["rounds"]))

    @property
    def table(self) -> ResultTable:
        """Return the test scores."""
        return self.scores

    def __repr__(self) -> str:
        rounds = len(self.record["rounds"])
        return f"RunResult({self.folder.name}: {rounds} rounds, test F1 {_shown(self.f1)})"


@dataclass(frozen=True)
class ComparisonResult(Tabled):
    """A comparison. systems: what its table says of each system, as `clinfed compare --json` prints it."""

    folder: Path
    systems: tuple[Mapping[str, Any], ...]
    text: str  # the table of the terminal

    @property
    def table(self) -> ResultTable:
        """Return a row for each system: its mean test F1 over seeds, the interval, and its costs."""
        return ResultTable(
            tuple(
                {
                    "system": each["name"],
                    "seeds": len(each["seeds"]),
                    "f1": each["micro_f1"],
                    **_interval(each["interval"]),
                    **{f"f1 {language}": f1 for language, f1 in each["by_language"].items() if language},
                    **each["cost"],
                }
                for each in self.systems
            )
        )


@dataclass(frozen=True)
class Predictions(Tabled):
    """Notes with the diagnoses that an adapter has found in them."""

    notes: tuple[PredictedNote, ...]

    @property
    def table(self) -> ResultTable:
        """Return a row for each mention, without the words of notes: an output may be passed on with its notebook."""
        return self.mentions()

    def mentions(self, *, with_text: bool = False) -> ResultTable:
        """Return a row for each mention. with_text: with the words of the mention. Units: characters, half-open."""
        return ResultTable(
            tuple(
                {
                    **{"note": note.id, "start": span.start, "end": span.end},
                    **({"text": " ".join(note.text[begin:end] for begin, end in span.fragments)} if with_text else {}),
                    **{"code": span.code, "title": prediction.title, "score": prediction.score},
                }
                for note in self.notes
                for span, prediction in zip(note.spans, note.predictions, strict=True)
            )
        )

    def __len__(self) -> int:
        return len(self.notes)

    def __repr__(self) -> str:
        return f"Predictions({len(self.notes)} notes, {sum(len(note.spans) for note in self.notes)} mentions)"


@dataclass(frozen=True)
class Scores(Tabled):
    """Strict scores of predictions. scores: as in a run record; basis: on how many notes they rest."""

    scores: Evaluation
    basis: Basis

    @property
    def f1(self) -> float | None:
        """Return the strict micro-F1; None where neither gold nor prediction holds a mention."""
        return self.scores["micro"]["f1"]

    @property
    def table(self) -> ResultTable:
        """Return a row for all notes, for each language, each clinic that is named, and each band of codes."""
        rows = [{"of": "all", **_scored(self.scores)}]
        parts = {
            "language": self.scores["by_language"],
            "clinic": self.scores["by_clinic"],
            "codes": self.scores["bands"],
        }
        for part, scores in parts.items():
            rows += [{"of": f"{part} {name}", **_counted(each)} for name, each in scores.items() if name]
        return ResultTable(tuple(rows))

    def __repr__(self) -> str:
        return f"Scores(F1 {_shown(self.f1)}, {self.basis.gold} notes)"


def _place(system: str) -> int:
    """Return where a system stands in a table: the adapter first, as in the table that a run prints."""
    return [*SYSTEMS, system].index(system)


def _scored(evaluated: Any) -> dict[str, Any]:
    """Return the columns of one system's scores, or of what its task measures instead."""
    if "measures" in evaluated:
        return dict(evaluated["measures"])
    macro = {"macro_f1": evaluated["macro"]["gold_or_predicted"]}
    return {**_counted(evaluated["micro"]), **_interval(evaluated["interval"]), **macro}


def _counted(score: Mapping[str, Any]) -> dict[str, Any]:
    interval = _interval(score["interval"]) if "interval" in score else {}
    return {name: score[name] for name in ("tp", "fp", "fn", "precision", "recall", "f1")} | interval


def _interval(interval: Sequence[float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}


def _round(each: records.RoundRecord) -> dict[str, Any]:
    evaluated: Any = each["validation"]
    row: dict[str, Any] = {"round": each["round"], "clinics": len(each["clinics"]), "loss": each["loss"]}
    if evaluated is not None and "measures" in evaluated:
        row |= {f"validation_{name}": value for name, value in evaluated["measures"].items()}
    else:
        row["validation_f1"] = evaluated and evaluated["micro"]["f1"]
    return row | {name: each[name] for name in ("seconds", "bytes_up", "bytes_down")}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
