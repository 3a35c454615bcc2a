"""What the report's plots show, in words and numbers: for readers who cannot see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinfed.evaluation.comparison import System
from clinfed.evaluation.report.holdings import shares
from clinfed.evaluation.report.plots import PHASES, binned, chapters
from clinfed.evaluation.report.tables import MB, NO_LANGUAGE, bracketed, fraction
from clinfed.evaluation.scores import Score
from clinfed.runs.record import RunRecord


def systems(shown: Sequence[System]) -> str:
    """Return each system's test F1 with its interval."""
    scores = "; ".join(f"{each.name} {bracketed(each.f1(), each.interval())}" for each in shown)
    return f"Strict micro-F1 on test with its 95% interval: {scores}."


def rounds(record: RunRecord) -> str:
    """Return validation F1 after each round: all, by language and by clinic."""
    evaluated = [(entry["round"], entry["validation"]) for entry in record["rounds"] if entry["validation"]]
    if not evaluated:
        return "No round was evaluated on validation notes."
    lines: dict[str, list[Score | None]] = {"all": [each["micro"] for _, each in evaluated]}
    by_language, by_clinic = (
        [each["by_language"] for _, each in evaluated],
        [each["by_clinic"] for _, each in evaluated],
    )
    for kind, groups in (("", by_language), ("clinic ", by_clinic)):
        for name in sorted({name for group in groups for name in group}):
            lines[f"{kind}{name or NO_LANGUAGE}"] = [group.get(name) for group in groups]
    said = "; ".join(f"{name} {' '.join(map(_score, scores))}" for name, scores in lines.items())
    return f"Validation F1 after the rounds {', '.join(str(number) for number, _ in evaluated)}: {said}."


def costs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return each row's test F1, trainable parameters and megabytes. rows: as plots.costs takes them."""
    said = "; ".join(
        f"{row['name']} {fraction(row['f1'])}, {row['trainable']:,} parameters, {row['bytes'] / MB:.1f} MB"
        for row in rows
    )
    return f"Strict micro-F1 on test, trainable parameters and megabytes sent: {said}."


def seconds(records: Mapping[str, RunRecord]) -> str:
    """Return each run's seconds by phase."""
    said = []
    for name, record in records.items():
        split = record.get("seconds_split", {})
        said.append(f"{name} " + ", ".join(f"{phase} {split.get(phase, 0.0):.1f}" for phase in PHASES))
    return f"Seconds by phase, summed over workers: {'; '.join(said)}."


def frequencies(supports: Mapping[str, Mapping[str, int]]) -> str:
    """Return how many codes have how many gold mentions. supports: language -> code -> mentions."""
    said = [
        f"{language} " + ", ".join(f"{name} mentions {codes} codes" for name, codes in binned(support).items() if codes)
        for language, support in supports.items()
    ]
    return f"Codes by how many gold mentions they have: {'; '.join(said)}."


def labels(manifest: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the mentions of each ICD-10 chapter."""
    return f"Mentions by ICD-10 chapter: {_counted(chapters(manifest))}."


def holdings(manifest: Mapping[str, Mapping[str, Any]]) -> str:
    """Return each clinic's notes by language and its mentions by chapter."""
    languages, held = shares(manifest, "languages"), shares(manifest, "chapters")
    said = []
    for place, clinic in enumerate(manifest):
        notes, mentions = (
            _counted({key: counts[place] for key, counts in of.items() if counts[place]}) for of in (languages, held)
        )
        said.append(f"{clinic}: notes {notes or 'none'}; mentions {mentions or 'none'}")
    return f"Notes by language and mentions by ICD-10 chapter. {'. '.join(said)}."


def _score(score: Score | None) -> str:
    return "-" if score is None else fraction(score["f1"])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key or NO_LANGUAGE} {count:,}" for key, count in counts.items())
