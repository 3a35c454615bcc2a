"""The small-cell rule: what a site's counts may name, so that nothing named is of too few of its patients."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from clinfed.corpus.note import Note
from clinfed.evaluation.bootstrap import Replicates
from clinfed.evaluation.counts import OTHER, SpanCounts
from clinfed.evaluation.spans import EvaluatedNote, count_spans

N = TypeVar("N", Note, EvaluatedNote)


@dataclass(frozen=True)
class Rule:
    """What a real site's counts may name: codes of the shared list that at least `threshold` of its patients have.

    replicates: patients of a language from which replicates may be drawn; the threshold where it is larger.
    """

    shared: frozenset[str]
    threshold: int = 0
    replicates: int = 0


def counted(tables: Mapping[str, Sequence[EvaluatedNote]], rule: Rule | None, **options: Any) -> dict[str, SpanCounts]:
    """Return the counts of each table under the rule; None: of a simulated clinic, whose counts name everything.

    tables: the same notes against different gold, by its name. options: those of count_spans.
    """
    if rule is None:
        return {gold: count_spans(table, **options) for gold, table in tables.items()}
    least = rule.threshold
    if least:
        tables = {gold: with_frequent_languages(table, least) for gold, table in tables.items()}
    # A site's own labels may be words of its notes: they are counted, never named.
    named = nameable(tables.values(), rule.shared, least)
    counts = {gold: count_spans(table, **options) for gold, table in tables.items()}
    drawn_from = max(least, rule.replicates)
    return {gold: with_firm_replicates(each, tables[gold], drawn_from).folded(named) for gold, each in counts.items()}


def frequent(having: Mapping[str, Collection[str]], threshold: int, allowed: Collection[str] | None = None) -> set[str]:
    """Return the names of cells that at least `threshold` patients are in, of the allowed ones (None: all).

    The rarest of these are left out too, as long as the cells left out are together about some patients, but fewer than
    the threshold. having: the patients of each cell.
    Source: primary and secondary cell suppression, Hundepool et al. 2012, Statistical Disclosure Control, chapter 4.
    """
    by_rarity = sorted(having, key=lambda name: (len(set(having[name])), name))
    kept = [name for name in by_rarity if len(set(having[name])) >= threshold and (allowed is None or name in allowed)]
    together = {patient for name in having.keys() - set(kept) for patient in having[name]}
    while kept and 0 < len(together) < threshold:
        together.update(having[kept.pop(0)])
    return set(kept)


def nameable(
    tables: Iterable[Sequence[EvaluatedNote]], shared: Collection[str], threshold: int
) -> set[tuple[str, str]]:
    """Return each (language, code) of the shared list that may be named, by how many patients have it in the gold.

    tables: the same notes against different gold. What is left out of one is left out of all: it could be told by
    subtraction. A code that is only predicted is a cell of no patients. A note without a patient counts as one.
    """
    named: set[tuple[str, str]] = set()
    left_out: set[tuple[str, str]] = set()
    for table in tables:
        having: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for note in table:
            for span in note.gold | note.predicted:
                having[note.language][span.code].update({note.unit} if span in note.gold else ())
        for language, patients in having.items():
            kept = frequent(patients, threshold, shared)
            named |= {(language, code) for code in kept}
            left_out |= {(language, code) for code in patients.keys() - kept}
    return named - left_out


def with_frequent_languages(notes: Iterable[N], threshold: int) -> list[N]:
    """Return the notes with no language where it is one of too few patients."""
    notes = list(notes)
    having: defaultdict[str, set[str]] = defaultdict(set)
    for note in notes:
        having[note.language].add(note.unit)
    named = frequent(having, threshold)
    return [note if note.language in named else replace(note, language="") for note in notes]


def with_firm_replicates(counts: SpanCounts, notes: Iterable[EvaluatedNote], threshold: int) -> SpanCounts:
    """Return counts whose replicates of a language of too few patients all repeat its totals.

    Drawn from a handful of patients, some replicates would be one patient's counts. The totals travel anyway; intervals
    take these patients for given and are that much too narrow.
    """
    patients: defaultdict[str, set[str]] = defaultdict(set)
    for note in notes:
        patients[note.language].add(note.unit)

    def firm(language: str, rows: Replicates) -> Replicates:
        total = counts.micro(language)
        return rows if len(patients[language]) >= threshold else np.full_like(rows, (total.tp, total.fp, total.fn))

    return replace(counts, replicates={language: firm(language, rows) for language, rows in counts.replicates.items()})


def folded(counts: Mapping[str, int], named: Collection[str]) -> dict[str, int]:
    """Return counts in which all names but these are added up under OTHER."""
    totals: Counter[str] = Counter()
    for name, count in counts.items():
        totals[name if name in named else OTHER] += count
    return dict(sorted(totals.items()))
