"""The table of document-level systems, apart from that of strict spans, with which it must not be compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import merged
from clinfed.evaluation.report.tables import (
    MB,
    NO_LANGUAGE,
    Table,
    bars,
    bracketed,
    fraction,
    mean,
    seeds_range,
)
from clinfed.evaluation.report.terminal import folded, wrapped
from clinfed.runs.documents import COUNTS_FILE, LEVEL, DocumentRecord, DocumentSystem, read
from clinfed.runs.record import read_counts

SYSTEMS = ("lexicon, pooled", "lexicons, each clinic's own")  # that learn nothing
HEAD = ("document level", "seeds", "validation", "document micro-F1 [95% interval]", "seeds' range")
COST = ("document macro-F1", "worst clinic", "trainable", "notes", "epochs", "train s", "peak MB", "MB up", "MB down")


@dataclass(frozen=True)
class FinishedDocuments:
    """One finished run of `clinfed classify`: its record and its test counts by system and clinic."""

    record: DocumentRecord
    counts: Mapping[str, Mapping[str, SpanCounts]]

    def merged(self, system: str) -> SpanCounts:
        """Return a system's counts over all clinics."""
        return merged(self.counts[system])


def read_finished(paths: Iterable[Path]) -> dict[int, FinishedDocuments]:
    """Return finished runs by seed, from the paths of their records."""
    found = {}
    for path in paths:
        record, counts = read(path), read_counts(path.with_name(COUNTS_FILE))
        by_system = {system: clinics for (system, level), clinics in counts.items() if level == LEVEL}
        found[record["seeds"]["run"]] = FinishedDocuments(record, by_system)
    return found


def document_table(runs: Mapping[int, FinishedDocuments]) -> Table:
    """Return the table of the finished seeds, with paired differences in its Markdown; empty without any."""
    if not runs:
        return Table("", "", {"documents": []})
    head, rows, below = document_rows(runs)
    text = "\n".join([folded(head, rows, COST[2:3]), "", *wrapped(below)])
    systems = systems_of(runs)
    differences = document_differences(runs)
    lines = [
        f"- {each['ours']} minus {each['theirs']}: {bracketed(each['f1'], each['interval'])}" for each in differences
    ]
    markdown = "\n".join([*bars(head, rows), "", *below, "", "Paired differences of document micro-F1:", "", *lines])
    numbers = {"documents": [_numbers(system) for system in systems], "document_differences": differences}
    return Table(text, markdown, numbers)


def systems_of(runs: Mapping[int, FinishedDocuments]) -> list[System]:
    """Return the systems with an evaluation for each seed that has them: a clinic may have notes in some only."""
    return [System(name, [run.merged(name) for run in runs.values() if name in run.counts]) for name in _names(runs)]


def document_differences(runs: Mapping[int, FinishedDocuments]) -> list[dict[str, Any]]:
    """Return the paired differences of any two systems, over the seeds that have both."""
    found = []
    for ours, theirs in combinations([system.name for system in systems_of(runs)], 2):
        if both := [run for run in runs.values() if {ours, theirs} <= run.counts.keys()]:
            systems = (System(name, [run.merged(name) for run in both]) for name in (ours, theirs))
            found.append(_difference(*systems))
    return [each for each in found if not math.isnan(each["f1"])]  # undefined: no code, in gold or prediction


def _names(runs: Mapping[int, FinishedDocuments]) -> list[str]:
    return list(dict.fromkeys(name for run in runs.values() for name in run.record["systems"]))


def document_rows(runs: Mapping[int, FinishedDocuments]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, a row a system, and the lines below."""
    systems = systems_of(runs)
    languages = sorted({language for system in systems for run in system.runs for language in run.languages})
    records = [run.record for run in runs.values()]
    entries = {name: [each["systems"][name] for each in records if name in each["systems"]] for name in _names(runs)}
    rows = [_row(system, entries[system.name], languages) for system in systems]
    below = [
        "Document level: which codes a note holds, wherever they stand. Not comparable with strict spans.",
        "A frozen encoder reads each note once, and only the classifier on its vectors is trained and averaged, in one "
        "process: MB are those of its tensors. The threshold is chosen on validation notes.",
        f"The encoder read {sum(each['encoder_notes'] for each in records)} notes in "
        f"{sum(each['encoder_s'] for each in records):.0f} s; all others were in the cache.",
    ]
    return [*HEAD, *(language or NO_LANGUAGE for language in languages), *COST], rows, below


def _row(system: System, entries: Sequence[DocumentSystem], languages: Sequence[str]) -> list[str]:
    scores = system.by_seed()
    validation = [each["validation"] for each in entries if each["validation"] is not None]
    macro = mean(run.macro("gold_or_predicted") for run in system.runs)
    trainable = [
        f"{_mean([each['trainable_parameters'] for each in entries]):,.0f}",
        f"{_mean([each['notes'] for each in entries]):,.0f}",
        f"{_mean([each['epochs'] for each in entries]):.0f}",
        f"{_mean([each['training_s'] for each in entries]):.1f}",
        f"{max(each['training_peak_bytes'] for each in entries) / MB:.0f}",
        f"{_mean([each['bytes_up'] for each in entries]) / MB:.1f}",
        f"{_mean([each['bytes_down'] for each in entries]) / MB:.1f}",
    ]
    return [
        system.name,
        str(len(entries)),
        fraction(_mean(validation)) if validation else "-",
        bracketed(system.f1(), system.interval()),
        seeds_range(scores),
        *(fraction(system.f1(language)) for language in languages),
        fraction(macro),
        fraction(mean(_worst(each) for each in entries)),
        *(trainable if entries[0]["trainable_parameters"] else ["-"] * len(trainable)),
    ]


def _worst(entry: DocumentSystem) -> float | None:
    """Return the lowest F1 of a clinic, None where no clinic has one."""
    return min((f1 for each in entry["test"]["by_clinic"].values() if (f1 := each["f1"]) is not None), default=None)


def _difference(ours: System, theirs: System) -> dict[str, Any]:
    difference, interval = ours.minus(theirs)
    return {"ours": ours.name, "theirs": theirs.name, "f1": difference, "interval": list(interval)}


def _numbers(system: System) -> dict[str, Any]:
    macro = mean(run.macro("gold_or_predicted") for run in system.runs)
    return {
        "name": system.name,
        "document_micro_f1": system.f1(),
        "document_macro_f1": macro,
        "interval": list(system.interval()),
        "by_seed": system.by_seed(),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
