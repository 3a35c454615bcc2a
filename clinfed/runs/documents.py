"""The record of `clinfed classify`: codes of whole notes (clinfed.tasks.document), never to be put beside strict spans.

Counts are those of spans (tp, fp, fn by language and code, with replicates); here they count codes of notes.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import evaluation
from clinfed.evaluation.scores import Evaluation
from clinfed.runs.migrations import completed

FILE, COUNTS_FILE = "documents.json", "document_counts.json"
LEVEL = "documents"  # stands in the counts where a span's record names its gold
SCHEMA = 1
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # .05 to .95


class DocumentSystem(TypedDict):
    """One system, evaluated on the test notes of all clinics; scores count codes of notes."""

    notes: int  # training notes, all clinics of the system
    epochs: int  # over each training note's vector
    threshold: float | None  # probability from which a code is predicted; null for a lexicon
    validation: float | None  # micro-F1 at that threshold, on the validation notes that chose it; null: undefined
    test: Evaluation
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


def tallies(predicted: Iterable[Mapping[str, float]], gold: Iterable[Collection[str]]) -> NDArray[np.int64]:
    """Return tp, fp and fn at each of THRESHOLDS: what clinics add up to choose one together.

    predicted, gold: each note's codes with their probabilities, and its annotated codes. Shapes: (len(THRESHOLDS), 3).
    """
    right: list[float] = []
    wrong: list[float] = []
    annotated = 0
    for codes, wanted in zip(predicted, gold, strict=True):
        annotated += len(wanted)
        for code, probability in codes.items():
            (right if code in wanted else wrong).append(probability)
    rows = []
    for threshold in THRESHOLDS:
        tp, fp = (int((np.asarray(each) >= threshold).sum()) for each in (right, wrong))
        rows.append((tp, fp, annotated - tp))
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
    again = {system: evaluation(clinics) for system, clinics in counts.items()}
    return [name for name, system in record["systems"].items() if again.get(name) != system["test"]]
