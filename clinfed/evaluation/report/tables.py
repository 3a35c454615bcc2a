"""What a run prints: a line a round, and the test table."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from clinfed.corpus.source import TEST
from clinfed.evaluation.comparison import UNDEFINED
from clinfed.evaluation.report.measures import headline, measured_rows
from clinfed.evaluation.report.terminal import folded
from clinfed.evaluation.scores import MENTIONS, Evaluation, Measures, Score
from clinfed.runs.record import ADAPTERS, RoundRecord, RunRecord

SYSTEMS = {
    "federated": "federated adapter",
    "centralised": "centralised adapter",
    "local": "local adapter",
    "joined": "adapter + lexicon ensemble",
    "pooled_lexicon": "lexicon, pooled",
    "clinic_lexicons": "lexicons, each clinic's own",
}
UNDRAWN = "[-]: too few patients to draw an interval from."
REPRESENTABLE = "Gold: all = every annotated mention; representable = those that tags of these labels can hold."
NO_LANGUAGE = "no language"
MB = 1e6  # bytes


@dataclass
class Table:
    """The same table for the terminal, for a file, and for programs."""

    text: str
    markdown: str
    rows: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = _undefined_as_null(self.rows)


def round_line(record: RoundRecord) -> str:
    """Return one round on one line: clinics, loss, validation micro-F1 (or what the task measures), seconds, MB."""
    parts = [f"round {record['round']}", f"{len(record['clinics'])} clinics", f"loss {record['loss']:.3f}"]
    validation = record["validation"]
    if validation is not None:
        parts += _headline(validation)
    if "public" in record:
        parts.append(f"public {_headline(record['public'])[0].removeprefix('F1 ')}")
    if refused := record.get("refused"):
        parts.append(f"without {', '.join(sorted({each['clinic'] for each in refused}))}")
    if joined := record.get("joined"):
        parts.append(f"joined by {', '.join(joined)}")
    parts.append(f"{record['seconds']:.1f} s")
    parts.append(f"up {record['bytes_up'] / MB:.2f} MB down {record['bytes_down'] / MB:.2f} MB")
    return " | ".join(parts)


def _headline(evaluated: Evaluation) -> list[str]:
    """Return the score of all clinics together, of each language, and of the worst clinic."""
    if "measures" in evaluated:
        return headline(cast(Measures, evaluated))
    parts = [f"F1 {fraction(evaluated['micro']['f1'])}"]
    parts += [f"{name or NO_LANGUAGE} {fraction(each['f1'])}" for name, each in evaluated["by_language"].items()]
    return [*parts, f"worst {worst_clinic(evaluated['by_clinic'])}"]


def table_on_test(record: RunRecord) -> str:
    """Return the test scores of every system against every gold, with what was evaluated and what cannot be reached."""
    evaluations = {
        _row_name(_named(system, record), gold, scores): scores
        for system in sorted(record["test"], key=_place)
        for gold, scores in _golds(record["test"][system]).items()
    }
    alone = one_clinics_part(record.get("median_clinic"), record.get("without", {}))
    return "\n".join([*_preamble(record), "", scores_table(evaluations), *_differences(record), *alone])


def one_clinics_part(middle: float | None, without: Mapping[str, float | None]) -> list[str]:
    """Return a line on what a single clinic makes of the adapter's test score, of three clinics or more.

    middle: the median of the clinics' own scores. without: the score without each one.
    """
    scores = [score for score in without.values() if score is not None]
    if len(scores) < 3 or middle is None or min(scores) < 0:  # below 0: of a task whose score is a loss
        return []
    low, high = fraction(min(scores)), fraction(max(scores))
    return [f"median of the clinics' own F1: {fraction(middle)}; F1 without any one of them: {low} to {high}"]


def _row_name(system: str, gold: str, evaluated: Evaluation) -> str:
    name = SYSTEMS.get(system, system)
    return f"{name}, {gold} gold" if unit_of(evaluated) == MENTIONS else name


def unit_of(evaluated: Evaluation) -> str:
    """Return what the scores count."""
    return evaluated.get("unit", MENTIONS)


def scores_table(evaluations: Mapping[str, Evaluation]) -> str:
    """Return a line of scores for each name."""
    if any("measures" in scores for scores in evaluations.values()):
        head, *rows = measured_rows(cast(Mapping[str, Measures], evaluations))
        return folded(head, rows)
    languages = sorted({language for scores in evaluations.values() for language in scores["by_language"]})
    head = ["system", "P", "R", "F1 [95% interval]", "macro", "macro gold"]
    head += [*(language or NO_LANGUAGE for language in languages), "worst clinic"]
    return folded(head, [[name, *_cells(scores, languages)] for name, scores in evaluations.items()])


def worst_clinic(clinics: dict[str, Score]) -> str:
    """Return the lowest F1 of the clinics that have any mention, gold or predicted, with its name; "-" where none has.

    A clinic with only false positives has F1 0.
    """
    evaluated = [(each["f1"], name) for name, each in clinics.items() if each["f1"] is not None]
    if not evaluated:
        return "-"
    f1, name = min(evaluated)
    return f"{fraction(f1)} ({name})" if name else fraction(f1)


def fraction(value: float | None) -> str:
    """Return a fraction with three decimals and without its leading zero: .621, 1.000, -.014; "-" where undefined.

    An undefined one is None or, of means over seeds, not a number.
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3f}"


def listed(numbers: Iterable[int]) -> str:
    """Return numbers, such as seeds, in their order with commas between them."""
    return ", ".join(map(str, sorted(numbers)))


def bracketed(value: float, interval: Iterable[float]) -> str:
    """Return a fraction with its interval: .621 [.600, .640]; "-" for what is undefined."""
    if math.isnan(value):
        return "-"
    low, high = interval
    return f"{fraction(value)} " + ("[-]" if math.isnan(low) else f"[{fraction(low)}, {fraction(high)}]")


def bars(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines of Markdown."""
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def _undefined_as_null(tree: Any) -> Any:
    """Return nested values with null for what is not a number, which JSON cannot hold, and for an interval of such."""
    if isinstance(tree, dict):
        return {key: _undefined_as_null(each) for key, each in tree.items()}
    if isinstance(tree, list | tuple):
        found = [_undefined_as_null(each) for each in tree]
        return None if tree and all(map(_is_nan, tree)) else found
    return None if _is_nan(tree) else tree


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def seeds_range(scores: Sequence[float]) -> str:
    """Return the smallest and the largest of the seeds' scores, "-" where none is defined."""
    return f"{fraction(min(scores))}-{fraction(max(scores))}" if scores else "-"


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of the defined values; not a number where there is none."""
    found = [value for value in values if value is not None and not math.isnan(value)]
    return sum(found) / len(found) if found else float("nan")


def _golds(evaluated: Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """Return a system's scores by gold; those against representable gold only where they are others."""
    return {gold: scores for gold, scores in evaluated.items() if gold == "all" or scores != evaluated.get("all")}


def _named(system: str, record: RunRecord) -> str:
    """Return a system's name; a local adapter's has the clinic on whose notes it was trained."""
    of = f" of {record['config']['only']['clinic']}" if system == "local" else ""
    return f"{SYSTEMS.get(system, system)}{of}"


def _place(system: str) -> tuple[int, str]:
    return (list(SYSTEMS).index(system) if system in SYSTEMS else len(SYSTEMS), system)


def _preamble(record: RunRecord) -> list[str]:
    chosen = f"adapter of round {record['chosen_round']} ({record['chosen_by']})"
    part = record.get("evaluated", TEST)
    test = f"Test, once, {chosen}." if part == TEST else f"{part.capitalize()}, which is no test; {chosen}."
    labels = record["labels"]
    unit = unit_of(next(iter(record["test"].values()))["all"])
    if unit != MENTIONS:
        return [f"{test} Counted: {unit}. Not comparable with strict spans.", *_losses(record)]
    closed = f"Labels: {labels['name']}, {labels['codes']:,} codes."
    if "ceiling_recall" in labels and "ceiling_f1" in labels:
        closed += (
            f" A perfect tagger with them reaches recall {fraction(labels['ceiling_recall'])}, "
            f"F1 {fraction(labels['ceiling_f1'])} against all gold."
        )
    return [
        f"{test} Strict: exact span and code.",
        "Interval: percentile bootstrap over patients, or over notes that name none.",
        *([UNDRAWN] if any(map(_is_undrawn, record["test"].values())) else []),
        *([REPRESENTABLE] if any(_golds(record["test"][system]).keys() - {"all"} for system in record["test"]) else []),
        "Macro: mean F1 over codes in gold or prediction; over codes in gold.",
        closed,
        *_losses(record),
    ]


def _is_undrawn(golds: Mapping[str, Evaluation]) -> bool:
    """Return whether a system has a score without an interval."""
    return any(each["micro"]["f1"] is not None and not each["interval"] for each in golds.values())


def _losses(record: RunRecord) -> list[str]:
    """Return what was not trained: mentions that tags cannot hold, and what reading left out. Nothing where all was."""
    unrepresentable = [
        f"{split} {_counted(reasons)}" for split, reasons in record.get("unrepresentable", {}).items() if reasons
    ]
    readers: defaultdict[str, list[str]] = defaultdict(list)  # simulated clinics read the same files and say the same
    for clinic, reasons in record.get("skipped", {}).items():
        if reasons:
            readers[_counted(reasons)].append(clinic)
    left_out = [f"{words} ({', '.join(clinics)})" for words, clinics in readers.items()]
    told = (
        ("Not trained, since one tag a word cannot hold it", unrepresentable),
        ("Left out, merged or ignored in reading", left_out),
    )
    return [f"{what}: {'; '.join(parts)}." for what, parts in told if parts]


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))


def _cells(scores: Evaluation, languages: Iterable[str]) -> list[str]:
    def cell(f1: float | None, interval: Sequence[float] | None) -> str:
        return fraction(f1) if f1 is None or not interval else bracketed(f1, interval)

    micro = scores["micro"]
    by_language = scores["by_language"]
    return [
        fraction(micro["precision"]),
        fraction(micro["recall"]),
        cell(micro["f1"], scores["interval"] or UNDEFINED),
        cell(scores["macro"]["gold_or_predicted"], scores.get("macro_interval")),
        fraction(scores["macro"]["gold"]),
        *(fraction(by_language[each]["f1"]) if each in by_language else "-" for each in languages),
        worst_clinic(scores["by_clinic"]),
    ]


def _differences(record: RunRecord) -> list[str]:
    ours = SYSTEMS[next(name for name in ADAPTERS if name in record["test"])]
    return [
        f"{ours} minus {SYSTEMS.get(system, system)}: {fraction(each['f1'])} "
        f"[{fraction(each['interval'][0])}, {fraction(each['interval'][1])}] F1, paired"
        for system, each in record.get("differences", {}).items()
    ]
