"""Hits: which gold mentions a system has found, one bit a mention, for McNemar's test of two systems.

A bit a mention is more than a real clinic may let go: hits are kept for invented and public
corpora only (clinfed/evaluation/artefacts.py).

Source: McNemar 1947, Note on the sampling error of the difference between correlated proportions or percentages; the
exact two-sided form is the binomial test of the discordant mentions against one half.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed.corpus.note import Note, Span
from clinfed.evaluation import artefacts

ADAPTER = "adapter"  # what the run's own system is called here, wherever it was trained

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """One run's hits. mentions: clinic -> digest of its gold mentions: equal ones can be paired bit by bit."""

    mentions: Mapping[str, str]
    bits: Mapping[str, Mapping[str, Bits]]  # clinic -> system

    def of(self, system: str) -> Bits:
        """Return a system's bits, clinic after clinic."""
        return np.concatenate([self.bits[clinic][system] for clinic in sorted(self.bits)])


@dataclass(frozen=True)
class McNemar:
    """Gold mentions that only one of two systems has found, and how likely that is where both are equally good."""

    ours_only: int
    theirs_only: int

    @property
    def p(self) -> float:
        """Return the exact two-sided p: twice the smaller tail of Binomial(n, 1/2), at most 1."""
        n, smaller = self.ours_only + self.theirs_only, min(self.ours_only, self.theirs_only)
        # Whole numbers until the last step: they do not round, and 2^n may be larger than any float.
        ways, tail = 1, 0
        for k in range(smaller + 1):
            tail += ways
            ways = ways * (n - k) // (k + 1)
        return min(1.0, 2 * tail / (1 << n))


def mcnemar(ours: Bits, theirs: Bits) -> McNemar:
    """Return the test of two systems' bits on the same mentions. Raises: ValueError where there are not as many."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} mentions cannot be paired")
    return McNemar(int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))


def found(notes: Iterable[Note], predicted: Mapping[str, Iterable[Span]]) -> Bits:
    """Return whether each gold span was predicted with its exact fragments and code, in the order of mentions_of."""
    hits = []
    for note in _in_order(notes):
        spans = frozenset(predicted.get(note.id, ()))
        hits += [span in spans for span in sorted(set(note.spans))]
    return np.array(hits, np.bool_)


def mentions_of(notes: Iterable[Note]) -> str:
    """Return the digest of all gold mentions, by note id and place."""
    digest = hashlib.sha256()
    for note in _in_order(notes):
        digest.update(repr((note.id, sorted(set(note.spans)))).encode())
    return digest.hexdigest()


def to_json(mentions: str, bits: Mapping[str, Bits]) -> dict[str, Any]:
    """Return one clinic's hits as they are kept: eight mentions a byte, in hexadecimal digits."""
    systems = {system: np.packbits(each).tobytes().hex() for system, each in bits.items()}
    return {"mentions": mentions, "count": len(next(iter(bits.values()))), "systems": systems}


def read(folder: Path) -> Hits | None:
    """Return a run's hits, None where none were kept."""
    tree = artefacts.read(folder / artefacts.HITS)
    if not tree:
        return None
    return Hits(
        {clinic: each["mentions"] for clinic, each in tree.items()},
        {clinic: _unpacked(each["systems"], each["count"]) for clinic, each in tree.items()},
    )


def paired(ours: Hits | None, theirs: Hits | None) -> McNemar | None:
    """Return the test of two runs' own systems, None unless both have hits on the same mentions."""
    if ours is None or theirs is None or ours.mentions != theirs.mentions:
        return None
    return mcnemar(ours.of(ADAPTER), theirs.of(ADAPTER))


def _unpacked(systems: Mapping[str, str], count: int) -> dict[str, Bits]:
    return {
        system: np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=count).astype(np.bool_)
        for system, digits in systems.items()
    }


def _in_order(notes: Iterable[Note]) -> Sequence[Note]:
    return sorted(notes, key=lambda note: note.id)
