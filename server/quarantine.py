"""The rules that an answer must obey, and why one is left out; plain values only, no Flower here.

Each rule raises BadAnswerError with a fixed reason: nothing that came over the wire is ever repeated. The table of
rules, reasons and tests stands in docs/quarantine.md.
"""

import math
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState
from clinfed.evaluation.counts import OTHER, SpanCounts

LARGEST_FIGURE = 2**53  # what a float holds exactly; a petabyte, or 285 million years of seconds
LARGEST_COUNT = 10**12  # of one language and code, or of one replicate: sums of a million clinics still fit 64 bits
WORKER = re.compile(r"[0-9a-f]{32}")
HASHED = re.compile(r"[0-9a-f]{16}")
FINGERPRINT = re.compile(r"[0-9a-f]{1,64}|none")  # a hash, the wire's number, or no quantisation
# On average, of a clinic's training notes. By default that is 190,000 sub-words in each, where a long report has a few
# thousand; how far a clinic's update may go grows with its windows.
WINDOWS_OF_NOTE = 1000
LANGUAGE = re.compile(r"([a-z]{2})?")


class Reason(StrEnum):
    """Why an answer is left out: all there is, in the words of the run record."""

    LATE = "no answer in time"
    LOST = "its answer was lost on the way"
    OVERSIZED = "its answer is larger than any honest one"
    MALFORMED = "its answer is not built as agreed"
    OTHER_CLINIC = "its answer names another clinic"
    OTHER_CODE = "it runs other code, or speaks another version of the wire"
    REPLAYED = "it answers another question than the one that was asked"
    FIGURES = "its report lacks a figure, or holds one that cannot be"
    NO_EXAMPLES = "its number of training notes is not a positive whole number"
    MORE_EXAMPLES = "it reports more notes than it registered"
    NAMES = "its update lacks a tensor, or brings one that was not asked for"
    SHAPE = "a tensor of its update has another shape"
    TYPE = "a tensor of its update has another number type"
    DIVERGED = "its training diverged: a loss or a weight is no number to go on with"
    NOT_FINITE = "its update holds a number that is not finite"
    OUT_OF_REACH = "its update lies further from the global adapter than training can move it"
    COUNTS = "its counts are not built as agreed, or cannot be"
    MORE_GOLD = "its counts hold more gold mentions than it registered"


class BadAnswerError(Exception):
    """An answer that must not be used; `reason` is a phrase of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(str(reason))
        self.reason = str(reason)


def check_identity(identity: Mapping[str, Any], *, clinic: str | None, code: str, nonce: str) -> None:
    """Refuse an answer of another clinic, of other code, or to another question. clinic: None in a hello."""
    if identity.get("nonce") != nonce:
        raise BadAnswerError(Reason.REPLAYED)
    if clinic is not None and identity.get("clinic") != clinic:
        raise BadAnswerError(Reason.OTHER_CLINIC)
    # In a hello the fingerprints tell more of it.
    if clinic is not None and (identity.get("wire") != WIRE_VERSION or identity.get("code") != code):
        raise BadAnswerError(Reason.OTHER_CODE)
    name, worker = identity.get("clinic"), identity.get("worker")
    if not isinstance(worker, str) or not WORKER.fullmatch(worker):
        raise BadAnswerError(Reason.MALFORMED)
    if not isinstance(name, str) or not name.isprintable() or len(name) > protocol.LONGEST_NAME:
        raise BadAnswerError(Reason.MALFORMED)


def check_report(report: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse a report unless it holds these figures, no other, and each is a number that can be."""
    if report.keys() != set(names) or not all(_plausible(name, value) for name, value in report.items()):
        raise BadAnswerError(Reason.FIGURES)


def _plausible(name: str, value: object) -> bool:
    if name == "loss":  # a likelihood of a density may be negative
        return type(value) in (int, float) and math.isfinite(value) and abs(value) <= LARGEST_FIGURE
    # bool is an int to Python, but no count.
    kinds = (int, float) if name.endswith("_s") else (int,)
    return type(value) in kinds and math.isfinite(value) and 0 <= value <= LARGEST_FIGURE


def check_fingerprints(identity: Mapping[str, Any]) -> None:
    """Refuse fingerprints that are none: where they differ from the server's they are shown."""
    given = [value for name, value in identity.items() if name.startswith("fingerprint.")]
    if not all(isinstance(value, str) and FINGERPRINT.fullmatch(value) for value in given):
        raise BadAnswerError(Reason.MALFORMED)


def check_windows(report: Mapping[str, Any]) -> None:
    """Refuse a hello of more training windows than its notes can make."""
    if report["train_windows"] > WINDOWS_OF_NOTE * report["train_notes"]:
        raise BadAnswerError(Reason.FIGURES)


def is_tally(value: object) -> bool:
    """Return whether JSON is counts by short name."""
    return isinstance(value, dict) and all(
        len(name) <= protocol.LONGEST_NAME and name.isprintable() and _plausible(name, count)
        for name, count in value.items()
    )


def is_tallies(value: object) -> bool:
    """Return whether JSON is counts by two short names."""
    return isinstance(value, dict) and is_tally(dict.fromkeys(value, 0)) and all(map(is_tally, value.values()))


def is_manifest(value: object) -> bool:
    """Return whether JSON is what partitions.base.describe makes, or nothing at all."""
    if not isinstance(value, dict):
        return False
    patients = value.get("patients", [])
    counts = {name: each for name, each in value.items() if name in ("notes", "mentions")}
    tallies = {name: each for name, each in value.items() if name not in ("notes", "mentions", "patients")}
    hashed = isinstance(patients, list) and all(isinstance(each, str) and HASHED.fullmatch(each) for each in patients)
    return hashed and is_tally(counts) and is_tallies(tallies)


def check_examples(num_examples: object, registered: int) -> None:
    """Refuse a weight in the average that is not 1 to the number of training notes that the clinic registered."""
    if type(num_examples) is not int or num_examples < 1:
        raise BadAnswerError(Reason.NO_EXAMPLES)
    if num_examples > registered:
        raise BadAnswerError(Reason.MORE_EXAMPLES)


def check_tensors(state: AdapterState, expected: AdapterState) -> None:
    """Refuse a state unless its names and shapes are those expected; numpy would broadcast some that are not."""
    if state.keys() != expected.keys():
        raise BadAnswerError(Reason.NAMES)
    if any(array.shape != expected[name].shape for name, array in state.items()):
        raise BadAnswerError(Reason.SHAPE)


def check_reach(state: AdapterState, before: AdapterState, reach: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a state that is not finite, or where some number lies further from the one before than training can go.

    reach: (a, b) of each part, where a number w can be moved by a + b*|w|: clinfed.training.reach.
    """
    for name, array in state.items():
        fixed, relative = reach[name.split(".")[0]]
        if not np.isfinite(array).all():
            raise BadAnswerError(Reason.NOT_FINITE)
        with np.errstate(over="ignore"):  # of two huge numbers; infinity is refused as well
            distance = np.abs(array - before[name])
        if not (distance <= fixed + relative * np.abs(before[name])).all():
            raise BadAnswerError(Reason.OUT_OF_REACH)


def check_counts(
    judged: protocol.Judged,
    *,
    split: str,
    closing: bool,
    replicates: bool,
    registered: Mapping[str, int],
    shared: Collection[str],
) -> None:
    """Refuse counts of other systems than agreed, of unknown codes, or that cannot be.

    registered: the clinic's hello. shared: the codes that a site may name; a simulated clinic may name others too.
    """
    asked = {(protocol.FEDERATED, protocol.ALL_GOLD)}
    systems = [
        protocol.FEDERATED,
        protocol.JOINED,
        protocol.CLINIC_LEXICONS,
        *([protocol.POOLED_LEXICON] if registered["nodes"] else []),
    ]
    if closing:
        asked = {(system, gold) for system in systems for gold in (protocol.ALL_GOLD, protocol.REPRESENTABLE_GOLD)}
    if judged.keys() != asked:
        raise BadAnswerError(Reason.COUNTS)
    for counts in judged.values():
        _check_names(counts, None if registered["nodes"] else shared)
        _check_sizes(counts, protocol.REPLICATES if replicates else 0)
        if counts.micro().support > registered[f"{split}_mentions"]:
            raise BadAnswerError(Reason.MORE_GOLD)


def check_rows(arrays: Mapping[str, NDArray[np.int64]]) -> None:
    """Refuse rows that count nothing: zeros travel as next to nothing, and take ten times their bytes once read."""
    if not all(rows.any(axis=-1).all() for name, rows in arrays.items() if name.endswith(".counts")):
        raise BadAnswerError(Reason.COUNTS)


def _check_names(counts: SpanCounts, shared: Collection[str] | None) -> None:
    languages = {language for language, _ in counts.by_code} | counts.replicates.keys()
    known = shared is None or all(code == OTHER or code in shared for _, code in counts.by_code)
    if not known or not all(LANGUAGE.fullmatch(language) for language in languages):
        raise BadAnswerError(Reason.COUNTS)


def _check_sizes(counts: SpanCounts, replicates: int) -> None:
    """Refuse numbers that could not be added up. Signs, shapes and types are checked where counts are made."""
    if any(rows.shape != (replicates, 3) or rows.max(initial=0) > LARGEST_COUNT for rows in counts.replicates.values()):
        raise BadAnswerError(Reason.COUNTS)
    if any(max(each.tp, each.fp, each.fn) > LARGEST_COUNT for each in counts.by_code.values()):
        raise BadAnswerError(Reason.COUNTS)
    if replicates and not set(counts.languages) <= counts.replicates.keys():
        raise BadAnswerError(Reason.COUNTS)
