"""The run record: one JSON file that says what was run, on what, and what came of it.

The classes below are its keys. Units: seconds in keys that end in _s (and `seconds`), bytes in `bytes_*` and *_bytes,
fractions in [0, 1]. It holds counts, scores, names of clinics and settings: never a word of a note, a note's id or a
patient's. A later reader may rely on `schema`, which grows by one whenever a key changes its meaning.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

import numpy as np

from clinfed.disk import writing
from clinfed.errors import UserError
from clinfed.evaluation.base import EvaluationCounts, Wire
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import Difference
from clinfed.evaluation.scores import Evaluation, Score
from clinfed.runs import migrations

C = TypeVar("C", bound=EvaluationCounts)

SCHEMA = 1
ADAPTERS = ("federated", "centralised", "local")  # what a record may call the adapter that was trained
# Beside a run's record: what its scores on test, and on validation after its last round, were computed from.
COUNTS, VALIDATION_COUNTS = "counts.json", "validation_counts.json"
PARTS = ("by_language", "by_clinic")


class ClinicRound(TypedDict):
    """One clinic in one round."""

    loss: float  # mean over local steps, nats
    notes: int  # training notes: the weight in the average
    seconds: dict[str, float]  # "load", "train", "serialise", "evaluate"
    bytes_up: int  # tensors only
    bytes_down: int
    validation: Score | None  # of the round's global adapter
    steps: NotRequired[int]
    tokens: NotRequired[int]
    length: NotRequired[float]  # Euclidean, of what its training moved in the adapter that it was sent
    share: NotRequired[float]  # of the weight in the average, where the coordinator caps shares
    peak_bytes: NotRequired[dict[str, int]]  # "training" and, where it has evaluated, "inference"


class Refusal(TypedDict):
    """A clinic that was left out of an exchange, and why; reason: a fixed phrase."""

    clinic: str
    reason: str


class RoundRecord(TypedDict):
    """One round; loss is the mean of the clinics that have trained, weighted by notes."""

    round: int  # from 1
    clinics: dict[str, ClinicRound]
    loss: float
    validation: (
        Evaluation | None
    )  # the new global adapter, all gold, all clinics' validation notes; null: not evaluated
    refused: NotRequired[list[Refusal]]  # left out of the round's training, or of its validation alone
    joined: NotRequired[list[str]]  # clinics that have come, or come again, since the round before
    aggregate_s: float
    seconds: float  # wall clock of the round
    overhead_s: NotRequired[float]  # of these, beyond the busiest worker's training and evaluating
    bytes_up: int  # tensors, all clinics
    bytes_down: int
    message_bytes_up: NotRequired[int]  # whole messages, with their envelope
    message_bytes_down: NotRequired[int]
    public: NotRequired[Evaluation]  # on the coordinator's own public notes (central.notes)


class LabelSet(TypedDict):
    """The codes that all sides share; ceiling: a perfect tagger's scores on the test split against all gold."""

    name: str  # "the 1,767 codes of CodiEsp's training annotations (closed set)"
    codes: int
    sha256: NotRequired[str]
    ceiling_recall: NotRequired[float]
    ceiling_f1: NotRequired[float]


class RunRecord(TypedDict):
    """A whole run."""

    schema: int
    started: str  # ISO 8601, UTC
    started_by: NotRequired[str]  # as the manifest says that the coordinator's operator has signed
    started_with: NotRequired[str]  # that manifest's SHA-256
    config: dict[str, Any]  # the resolved run: what `clinfed config` prints
    fingerprints: dict[str, str]  # "code", "base", "quantisation", "tokenizer", "labels", "adapter"
    versions: dict[str, str]  # python and the libraries
    seeds: dict[str, int]  # "run", "bootstrap"
    machine: dict[str, Any]  # "name", "processor", "cores", "threads", "memory_bytes", "device", "gpu"
    labels: LabelSet
    manifest: dict[str, Any]  # who holds what: partitions.base.manifest
    unrepresentable: NotRequired[dict[str, dict[str, int]]]  # split -> reason -> mentions that flat tagging cannot hold
    # Clinic -> reason -> what reading left out; a simulation reads once.
    skipped: NotRequired[dict[str, dict[str, int]]]
    rounds: list[RoundRecord]
    chosen_round: int  # whose adapter is evaluated on test
    chosen_by: str  # "last round", or "best validation micro-F1, median over clinics"
    resumed_after: NotRequired[list[int]]  # rounds after which the run was interrupted and went on from its checkpoint
    ended_early: NotRequired[bool]  # stop.patience ended it before its last round
    best_round: NotRequired[int | None]  # the best validation, as chosen_by has it; its adapter is in `best`
    refused: NotRequired[list[Refusal]]  # left out at the start
    test_refused: NotRequired[list[Refusal]]  # left out of the test
    evaluated: NotRequired[str]  # what `test` is of: "test", or "development set" where there is no test part
    test: dict[str, dict[str, Evaluation]]  # system ("federated", "pooled_lexicon", ...) -> gold ("all", ...) -> scores
    median_clinic: NotRequired[float | None]  # of the clinics' own scores on test: one clinic cannot lift it
    # Clinic -> the adapter's score on test without this clinic's counts: what it alone makes of the merged score.
    without: NotRequired[dict[str, float | None]]
    limits: NotRequired[dict[str, float]]  # of the coordinator's settings: "largest_share", "update_multiple"
    differences: NotRequired[dict[str, Difference]]  # from the federated adapter to each other system
    # trainable_parameters, training_s (of all clinics), training_wall_s, [inference_]documents_per_s (of a worker,
    # without tokenisation), {training,inference}_peak_bytes, ...
    probes: dict[str, float]
    seconds_split: NotRequired[dict[str, float]]  # "start", "load", "train", "serialise", "aggregate", "evaluate"
    adapter_sha256: str  # of the final global state
    base_loads: int
    workers: int
    bytes_up: int
    bytes_down: int
    seconds: float  # the whole run, wall clock


def summary(record: RunRecord, path: str | Path) -> dict[str, Any]:
    """Return the JSON object of `clinfed simulate --json`; scores are F1 on test, all gold; null: not evaluated.

    They are of mentions, unless the run's task counts something else, which `unit` then names.
    """
    # The adapter's own scores, also where it was trained in one place.
    federated = next(record["test"][name] for name in ADAPTERS if name in record["test"])["all"]
    return {
        **_summed_up(federated, record),
        "adapter_sha256": record["adapter_sha256"],
        "base_loads": record["base_loads"],
        "workers": record["workers"],
        "bytes_up": record["bytes_up"],
        "bytes_down": record["bytes_down"],
        "seconds": record["seconds"],
        "rounds": len(record["rounds"]),
        "record": str(path),
    }


def _summed_up(adapter: Evaluation, record: RunRecord) -> dict[str, Any]:
    """Return the scores of an adapter, by the names of the JSON object."""
    if "measures" in adapter:
        evaluated: Any = adapter
        parts = {part: {name: each[evaluated["score"]] for name, each in evaluated[part].items()} for part in PARTS}
        return {**evaluated["measures"], **parts, "unit": evaluated["unit"]}
    return {
        "micro_f1": adapter["micro"]["f1"],
        "macro_f1": adapter["macro"]["gold_or_predicted"],
        "macro_f1_gold": adapter["macro"]["gold"],
        "interval": adapter["interval"],
        "by_language": {language: each["f1"] for language, each in adapter["by_language"].items()},
        "by_clinic": {clinic: each["f1"] for clinic, each in adapter["by_clinic"].items()},
        "lexicon_micro_f1": micro_f1(record, "pooled_lexicon"),
        "local_lexicon_micro_f1": micro_f1(record, "clinic_lexicons"),
        **({"unit": adapter["unit"]} if "unit" in adapter else {}),
    }


def write(path: str | Path, record: Mapping[str, object]) -> None:
    """Write the record; a reader sees the old file or the whole new one. Raises: ValueError for a number not finite."""
    target = Path(path)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with writing(target, partial):
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def read(path: str | Path) -> RunRecord:
    """Return a record. Raises: UserError where the file is none, or of another schema."""
    try:
        record: RunRecord = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = record["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no run record ({type(error).__name__}); give a file that a run wrote") from None
    if schema != SCHEMA:
        raise UserError(
            f"{path}: run record of schema {schema}; expected {SCHEMA}; read it with the version that wrote it"
        )
    return migrations.completed(record)


def write_counts(path: str | Path, counts: Mapping[tuple[str, str], Mapping[str, EvaluationCounts]]) -> None:
    """Write counts by (system, gold) and clinic, replicates included: every score can be had from them again.

    The same integers that left the clinics, as JSON: system -> gold -> clinic -> the keys of to_arrays.
    """
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for (system, gold), clinics in counts.items():
        wires = {
            name: {key: _listed(value) for key, value in each.to_arrays().items()} for name, each in clinics.items()
        }
        tree.setdefault(system, {})[gold] = wires
    with writing(Path(path)):
        Path(path).write_text(json.dumps(tree, separators=(",", ":")) + "\n", encoding="utf-8")


def read_counts(path: str | Path) -> dict[tuple[str, str], dict[str, SpanCounts]]:
    """Return the counts of spans by (system, gold) and clinic. Raises: UserError as counts_of_kind does."""
    return counts_of_kind(path, SpanCounts)


def counts_of_kind(path: str | Path, kind: type[C]) -> dict[tuple[str, str], dict[str, C]]:
    """Return the counts by (system, gold) and clinic. Raises: UserError where the file is not what was written."""
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            (system, gold): {name: kind.from_arrays(_wire(wire, kind)) for name, wire in clinics.items()}
            for system, golds in tree.items()
            for gold, clinics in golds.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no counts ({type(error).__name__}); give a file that a run wrote") from None


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _wire(read: Mapping[str, Any], kind: type[EvaluationCounts]) -> Wire:
    empty = kind().to_arrays()  # of the right shape, which an empty list has lost
    arrays = {key: np.array(read[key], np.int64) if np.size(read[key]) else empty[key] for key in kind.named}
    return {**read, **arrays}


def micro_f1(record: RunRecord, system: str) -> float | None:
    """Return a system's F1; None if nobody could evaluate it (a pooled lexicon at real sites) or its task has none."""
    evaluated: Mapping[str, Any] = record["test"].get(system, {}).get("all", {})
    return evaluated["micro"]["f1"] if "micro" in evaluated else None


def _plain(value: object) -> object:
    """Return a numpy number as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a run record")
