"""The small-cell rule: what a site's counts may name, so that no named count is about too few of its patients."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from clinfed.evaluation.counts import OTHER
from clinfed.evaluation.spans import JudgedNote


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


def nameable(notes: Iterable[JudgedNote], shared: Collection[str], threshold: int) -> set[tuple[str, str]]:
    """Return each (language, code) of the shared list that may be named, by how many patients have it in the gold.

    A code that is only predicted is a cell of no patients. A note without a patient counts as one.
    """
    having: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for note in notes:
        for span in note.gold | note.predicted:
            having[note.language][span.code].update({note.unit} if span in note.gold else ())
    return {(language, code) for language, patients in having.items() for code in frequent(patients, threshold, shared)}


def folded(counts: Mapping[str, int], named: Collection[str]) -> dict[str, int]:
    """Return counts in which all names but these are added up under OTHER."""
    totals: Counter[str] = Counter()
    for name, count in counts.items():
        totals[name if name in named else OTHER] += count
    return dict(sorted(totals.items()))
