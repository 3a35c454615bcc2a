"""Document level: which codes a note holds, wherever they stand in it. Easier than strict spans, and never beside them.

A note's gold is the set of its spans' codes, also of codes that no shared list holds, so that these are missed. Counts
are those of spans (tp, fp, fn by language and code, with replicates); here they count codes of notes, not mentions.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.former import completed
from clinfed.evaluation.record import Judgement, judgement
from clinfed.evaluation.spans import JudgedNote, count_spans

FILE, COUNTS_FILE = "documents.json", "document_counts.json"
LEVEL = "documents"  # stands in the counts where a span's record names its gold
SCHEMA = 1
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # .05 to .95


class DocumentSystem(TypedDict):
    """One system, judged on the test notes of all clinics; scores count codes of notes."""

    notes: int  # training notes, all clinics of the system
    passes: int  # over each training note's vector
    threshold: float | None  # probability from which a code is predicted; null for a lexicon
    validation: float | None  # micro-F1 at that threshold, on the validation notes that chose it; null: undefined
    test: Judgement
    trainable_parameters: int
    training_s: float
    training_peak_bytes: int
    bytes_up: int  # of the classifier's tensors; none is sent, they are what a federation would
    bytes_down: int
    state_sha256: str


class DocumentRecord(TypedDict):
    """A whole run of `clinfed classify`."""

    schema: int
    started: str  # ISO 8601, UTC
    config: dict[str, Any]
    fingerprints: dict[str, str]  # "code", "base", "tokenizer"
    versions: dict[str, str]
    seeds: dict[str, int]
    machine: dict[str, Any]
    codes: int
    manifest: dict[str, Any]
    encoder_notes: int  # that the encoder has read in this run; all others came from the cache
    encoder_s: float
    encoder_peak_bytes: int
    systems: dict[str, DocumentSystem]
    seconds: float


def codes_of(spans: Iterable[Span]) -> frozenset[str]:
    """Return the codes of a note's spans."""
    return frozenset(span.code for span in spans)


def targets(notes: Sequence[Note], codes: Sequence[str]) -> NDArray[np.float32]:
    """Return 1 where a note holds a code of the list. Shapes: returns (notes, codes)."""
    column = {code: number for number, code in enumerate(codes)}
    found = np.zeros((len(notes), len(codes)), np.float32)
    for row, note in enumerate(notes):
        found[row, [column[code] for code in codes_of(note.spans) if code in column]] = 1
    return found


def count_documents(notes: Sequence[Note], predicted: Sequence[Iterable[str]], **options: Any) -> SpanCounts:
    """Return the counts of predicted codes, a set for each note. options: those of count_spans."""
    judged = [
        JudgedNote(note.unit, note.language, _placeless(codes_of(note.spans)), _placeless(codes))
        for note, codes in zip(notes, predicted, strict=True)
    ]
    return count_spans(judged, **options)


def tallies(probabilities: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return tp, fp and fn at each of THRESHOLDS: what clinics add up to choose one together.

    Shapes: both (N, C); returns (len(THRESHOLDS), 3).
    """
    gold = wanted > 0
    rows = []
    for threshold in THRESHOLDS:
        found = probabilities >= threshold
        rows.append(((found & gold).sum(), (found & ~gold).sum(), (gold & ~found).sum()))
    return np.array(rows, np.int64)


def best_threshold(added: NDArray[np.int64]) -> tuple[float, float]:
    """Return the threshold of the highest micro-F1, of equals the lowest, and that F1. Shapes: (THRESHOLDS, 3)."""
    tp, fp, fn = added.T
    f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    best = int(f1.argmax())
    return THRESHOLDS[best], float(f1[best])


def read(path: Path) -> DocumentRecord:
    """Return a record. Raises: UserError where the file is none, or of another schema."""
    try:
        record: DocumentRecord = json.loads(path.read_text(encoding="utf-8"))
        schema = record["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no record of documents ({type(error).__name__}); give a run's own file") from None
    if schema != SCHEMA:
        raise UserError(f"{path}: record of schema {schema}; expected {SCHEMA}; read it with the version that wrote it")
    return completed(record)


def verify(record: DocumentRecord, counts: Mapping[str, Mapping[str, SpanCounts]]) -> list[str]:
    """Return the systems whose test scores cannot be had again from the counts."""
    again = {system: judgement(clinics) for system, clinics in counts.items()}
    return [name for name, system in record["systems"].items() if again.get(name) != system["test"]]


def _placeless(codes: Iterable[str]) -> frozenset[Span]:
    """Return codes as spans that stand nowhere, which is what makes two of them equal."""
    return frozenset(Span((), code) for code in codes)
