"""What server and clinics say to each other: kinds of messages, names of records, codes of failures; no Flower here.

A question holds `adapter` (the global tensors; to train, the strategy's own too; not in a hello) and `question` (round,
split, whether replicates are wanted, the run's key, and a nonce, which the answer repeats; to train, also which of the
clinic's states to take up). An answer holds `identity` (who answers, with which code), `report` (numbers) and, by
kind, `adapter`, `counts` or both: where the question to train names a split, the clinic first evaluates the adapter on
it. A real site adds `signature`. Nothing else travels.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed.evaluation.base import EvaluationCounts, Wire

HELLO = "query.hello"  # compares fingerprints, before anything is trained
TRAIN = "train"
EVALUATE = "evaluate"

ADAPTER = "adapter"
QUESTION = "question"
IDENTITY = "identity"
REPORT = "report"
RUN_KEY = "run_key"  # in the questions to train and to evaluate
STATE_ROUND = "state_round"  # in the question to train
COUNTS = "counts"
COUNT_NAMES = "count_names"
SIGNATURE = "signature"  # of a real site's answer: clinfed/signatures.py

# The names in an identity, all of them; a hello's has these texts and "fingerprint.NAME" beside them.
IDENTITY_NAMES = ("clinic", "worker", "wire", "code", "nonce")
HELLO_TEXTS = ("roots", "manifest", "unrepresentable", "skipped")

LONGEST_NAME = 80  # characters of a clinic, a reason, a language or a chapter in a hello
REPLICATES = 1000  # bootstrap replicates of each evaluation in the last validation and the test evaluation; none before

# The figures of a report, all of them: an answer that lacks one or brings another is refused. Those that end in _s are
# seconds, `loss` is in nats, all others are whole numbers.
LOAD_REPORT = ("load_s", "base_loads")
HELLO_REPORT = (
    *(f"{split}_{what}" for split in ("train", "validation", "test") for what in ("notes", "mentions")),
    "train_windows",
    "nodes",  # of the simulation; 0 at a site
    *LOAD_REPORT,
)
EVALUATION_REPORT_PART = ("notes", "evaluate_s", "lexicon_s", "inference_peak_bytes")
EVALUATE_REPORT = (*EVALUATION_REPORT_PART, "serialise_s", *LOAD_REPORT)
TRAIN_REPORT = (
    *("num_examples", "loss", "tokens", "padded_tokens", "steps"),
    *("train_s", "training_peak_bytes", "serialise_s"),
    *LOAD_REPORT,
)

# Flower's `stype` of an array says how to read its bytes.
TENSORS, TENSORS_DTYPE, TENSORS_KIND = "tensors", "|u1", "safetensors"  # the one entry of `adapter`: codec's bytes
COUNT_DTYPE, COUNT_KIND = "<i8", "clinfed.count"  # plain little-endian integers, without a header

# Systems whose predictions are counted, each against the gold that its name says.
FEDERATED = "federated"
CLINIC_LEXICONS = "clinic_lexicons"  # each clinic's own lexicon, counts merged
POOLED_LEXICON = "pooled_lexicon"  # which no real federation may hold
ENSEMBLE = (
    "joined"  # the key of version 0.1: the adapter's spans and those of each clinic's own lexicon, which stays there
)
ALL_GOLD = "all"
REPRESENTABLE_GOLD = "representable"


class Failure(IntEnum):
    """What a clinic says when something went wrong: this code and the exception's class, never its text.

    With REFUSED it names one of its settings instead of a class (clinfed/refusals.py).
    """

    HELLO = 101
    TRAIN = 102
    EVALUATE = 103
    REFUSED = 104
    WORKER = 105  # the site's worker ended, or hung, before it had answered


class Reason(StrEnum):
    """Why an answer is left out: all there is, in the words of the run record."""

    LATE = "no answer in time"
    LOST = "its answer was lost on the way"
    OVERSIZED = "its answer is larger than any honest one"
    MALFORMED = "its answer is not built as agreed"
    UNSIGNED = "its answer is not signed"
    OTHER_KEY = "its answer is signed with the key of no registered site, or was changed on the way"
    OTHER_NAME = "it calls itself by another name than the one that its key is registered for"
    OTHER_CLINIC = "its answer names another clinic"
    OTHER_CODE = "it runs other code, or uses another version of the wire"
    REPLAYED = "it answers another question than the one that was asked"
    FIGURES = "its report lacks a figure, or holds an impossible one"
    NO_EXAMPLES = "its number of training notes is not a positive whole number"
    MORE_EXAMPLES = "it reports more notes than it registered"
    NAMES = "its update lacks a tensor, or brings one that was not asked for"
    SHAPE = "a tensor of its update has another shape"
    TYPE = "a tensor of its update has another number type"
    DIVERGED = "its training diverged: a loss or a weight is not finite, or too large"
    NOT_FINITE = "its update holds a number that is not finite"
    BEYOND_MAX_UPDATE = "its update lies further from the global adapter than training can move it"
    OUT_OF_LIMITS = "a tensor that its strategy adds is larger than any honest one"
    COUNTS = "its counts are not built as agreed, or are impossible"
    TOO_LONG = "its update is too long beside those of the round before"
    MORE_THAN_REGISTERED = "it claims more notes, windows or mentions than it was registered with"
    MORE_GOLD = "its counts hold more gold mentions than it registered"


class BadAnswerError(Exception):
    """An answer that must not be used; `reason` is a phrase of ours. clinic: who has made it, where that is known."""

    def __init__(self, reason: str, *, clinic: str = "") -> None:
        super().__init__(str(reason))
        self.reason = str(reason)
        self.clinic = clinic


Evaluated = dict[tuple[str, str], Any]  # (system, gold) -> counts, of the kind that the task counts


@dataclass
class Traffic:
    """What travelled, in bytes. tensors: of adapters only; message: whole contents as Flower sends them."""

    tensors_up: int = 0
    tensors_down: int = 0
    message_up: int = 0
    message_down: int = 0


@dataclass
class Answer:
    """One clinic's answer without its tensors: who it is, and its numbers."""

    clinic: str
    identity: Mapping[str, Any]
    report: Mapping[str, Any]
    traffic: Traffic = field(default_factory=Traffic)
    counts: Evaluated = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A clinic that is left out of one exchange, and why. reason: a fixed phrase of ours, never text from the wire."""

    clinic: str
    reason: str


def counts_to_wire(evaluated: Evaluated) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """Return the evaluations as integer arrays and as lists of names, such as codes and languages, one a line."""
    arrays: dict[str, NDArray[np.int64]] = {}
    names: dict[str, str] = {}
    for (system, gold), counts in evaluated.items():
        for key, value in counts.to_arrays().items():
            if isinstance(value, np.ndarray):
                arrays[f"{system}.{gold}.{key}"] = value
            else:
                names[f"{system}.{gold}.{key}"] = "\n".join(value)
    return arrays, names


def counts_from_wire(
    arrays: Mapping[str, NDArray[np.int64]], names: Mapping[str, Any], kind: type[EvaluationCounts]
) -> Evaluated:
    """Return the evaluations that a clinic sent. Raises: ValueError or KeyError where they are not as agreed."""
    evaluated: Evaluated = {}
    for key in arrays:
        system, gold, _ = key.split(".")
        evaluated[system, gold] = kind.from_arrays(_wire(f"{system}.{gold}", arrays, names, kind))
    return evaluated


def _wire(
    name: str, arrays: Mapping[str, NDArray[np.int64]], names: Mapping[str, Any], kind: type[EvaluationCounts]
) -> Wire:
    wire: dict[str, Any] = {}
    for array, lists in kind.named.items():
        wire[array] = rows = arrays[f"{name}.{array}"]
        for key in lists:
            wire[key] = _lines(names[f"{name}.{key}"], len(rows))
    return wire


def _lines(text: Any, count: int) -> list[str]:
    """Return a line for each row. Raises: ValueError for another number, which is counted before anything is split.

    An evaluated split may hold no mention; one unknown language ("") is a line of its own all the same.
    """
    if not isinstance(text, str) or (text.count("\n") + 1 != count if count else text):
        raise ValueError("names that do not belong to the rows")
    return [sys.intern(line) for line in text.split("\n")] if count else []
