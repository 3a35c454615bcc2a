"""Flower's records <-> AdapterState, AdapterUpdate and counts; every claim of an answer is checked before use."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.error import Error
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_to_proto
from numpy.typing import NDArray

from clinfed import fingerprints, protocol, refusals
from clinfed.adapters.codec import WIRE_VERSION, WireError, WireTypeError, decode, encode
from clinfed.adapters.state import AdapterState
from clinfed.errors import DivergedError
from clinfed.protocol import Answer
from server.quarantine import (
    BadAnswerError,
    Reason,
    check_fingerprints,
    check_report,
    check_rows,
    check_tensors,
    check_windows,
    is_manifest,
    is_tallies,
    is_tally,
)

# What Flower itself says of a clinic; its reasons hold an exception's text, so only its codes are used.
FLOWER_CODES = {
    int(ErrorCode.UNKNOWN): "its worker died (memory, perhaps)",
    int(ErrorCode.LOAD_CLIENT_APP_EXCEPTION): "its code cannot be imported",
    int(ErrorCode.MESSAGE_UNAVAILABLE): "the message was lost",
    int(ErrorCode.REPLY_MESSAGE_UNAVAILABLE): "its answer was lost",
    int(ErrorCode.NODE_UNAVAILABLE): "its SuperNode is gone",
    int(ErrorCode.INVALID_FAB): "it refuses this bundle of code",
    int(ErrorCode.CLIENT_APP_CRASHED): "its process died (memory, perhaps)",
}
CLASS_NAME = re.compile(r"([A-Z][a-z0-9]{0,19}){0,5}(Error|Exception|Interrupt|Warning)", re.ASCII)
HELLO_TEXT = 2**20  # characters of the JSON that a hello may hold under one name


def to_record(state: AdapterState) -> ArrayRecord:
    """Return the state's tensors as Flower sends them."""
    data = encode(state)
    return ArrayRecord({protocol.TENSORS: Array(protocol.TENSORS_DTYPE, (len(data),), protocol.TENSORS_KIND, data)})


def to_answer(content: RecordDict, names: Collection[str]) -> Answer:
    """Return who answers and what it reports, not checked yet. Raises: BadAnswerError unless it has these records."""
    if content.keys() != {protocol.IDENTITY, protocol.REPORT, *names}:
        raise BadAnswerError(Reason.MALFORMED)
    identity = dict(_record(content, protocol.IDENTITY, ConfigRecord))
    report: dict[str, Any] = dict(_record(content, protocol.REPORT, MetricRecord))
    return Answer(str(identity.get("clinic", "")), identity, report)


def to_state(content: RecordDict, expected: AdapterState) -> AdapterState:
    """Return the tensors of an answer. Raises: BadAnswerError unless names, shapes and types fit."""
    arrays = _record(content, protocol.ADAPTER, ArrayRecord)
    if arrays.keys() != {protocol.TENSORS}:
        raise BadAnswerError(Reason.MALFORMED)
    block = arrays[protocol.TENSORS]
    if (block.stype, block.dtype, block.shape) != (protocol.TENSORS_KIND, protocol.TENSORS_DTYPE, (len(block.data),)):
        raise BadAnswerError(Reason.MALFORMED)
    try:
        state = decode(block.data, version=WIRE_VERSION)
    except WireTypeError:
        raise BadAnswerError(Reason.TYPE) from None
    except WireError:
        raise BadAnswerError(Reason.MALFORMED) from None
    check_tensors(state, expected)
    return state


def to_counts(content: RecordDict) -> protocol.Judged:
    """Return the counts of an answer. Raises: BadAnswerError where they are not built as agreed."""
    arrays = {name: _integers(array) for name, array in _record(content, protocol.COUNTS, ArrayRecord).items()}
    try:
        check_rows(arrays)
        return protocol.counts_from_wire(arrays, _record(content, protocol.COUNT_NAMES, ConfigRecord))
    except (KeyError, ValueError, TypeError):
        raise BadAnswerError(Reason.COUNTS) from None


def size_of(content: RecordDict) -> int:
    """Return the bytes of a message's content as Flower serialises it."""
    return int(recorddict_to_proto(content).ByteSize())


def without_judgement(answer: Answer) -> Answer:
    """Return an answer to training without what the judgement before it reports."""
    report = {name: value for name, value in answer.report.items() if name not in protocol.JUDGEMENT_REPORT}
    return Answer(answer.clinic, answer.identity, report, answer.traffic)


def judgement_of(answer: Answer) -> Answer:
    """Return what the judgement before training reports; what travelled stands in the answer to training."""
    names = (*protocol.JUDGEMENT_REPORT, "base_loads")
    return Answer(answer.clinic, answer.identity, {name: answer.report.get(name, 0) for name in names})


def failure(error: Error) -> str:
    """Return why a failed clinic has no answer: its code and, where it is nothing more, the exception's class.

    A reason that Flower itself has written may hold the exception's text, and so a note's words: it is not repeated.
    """
    code, reason = error.code, error.reason
    if code in FLOWER_CODES:
        return f"{FLOWER_CODES[code]} (Flower's code {code}); look at that machine"
    if code == protocol.Failure.REFUSED and reason in refusals.REMEDIES:
        return refusals.to_coordinator(reason, code=fingerprints.code())
    if code == protocol.Failure.TRAIN and reason == DivergedError.__name__:
        return Reason.DIVERGED
    named = reason if reason and CLASS_NAME.fullmatch(reason) else "an error that is not named here"
    known = {int(each): each.name.lower() for each in protocol.Failure}
    step = f"{known[code]} failed" if code in known else "failed outside its own code"
    return f"{step} with {named} (code {code}); the detail stays there, in $CLINFED_HOME/clinic/errors"


def check_hello(answer: Answer) -> None:
    """Refuse a hello whose figures, counts or fingerprints are not built as agreed. Raises: BadAnswerError."""
    check_report(answer.report, protocol.HELLO_REPORT)
    check_windows(answer.report)
    check_fingerprints(answer.identity)
    for key, valid in (("manifest", is_manifest), ("lost", is_tallies), ("skipped", is_tally)):
        text = answer.identity.get(key, "")
        try:
            good = isinstance(text, str) and len(text) <= HELLO_TEXT and valid(read_json(answer, key))
        except (ValueError, RecursionError):  # no JSON
            good = False
        if not good:
            raise BadAnswerError(Reason.MALFORMED)


def read_json(answer: Answer, key: str) -> Any:
    """Return what a clinic sent as JSON text, {} where it sent none."""
    return json.loads(str(answer.identity.get(key, "")) or "{}")


def _record(content: RecordDict, name: str, kind: type) -> Mapping[str, Any]:
    record = content.get(name)
    if not isinstance(record, kind):
        raise BadAnswerError(Reason.MALFORMED)
    return record


def _integers(array: Array) -> NDArray[np.int64]:
    if array.stype != protocol.COUNT_KIND:
        raise BadAnswerError(Reason.MALFORMED)
    if array.dtype != protocol.COUNT_DTYPE or any(type(axis) is not int or axis < 0 for axis in array.shape):
        raise BadAnswerError(Reason.COUNTS)
    try:
        return np.frombuffer(array.data, protocol.COUNT_DTYPE).reshape(array.shape).astype(np.int64)
    except ValueError:  # bytes that do not fill the shape
        raise BadAnswerError(Reason.COUNTS) from None
