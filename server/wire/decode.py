"""Plain records <-> AdapterState, AdapterUpdate and counts; every claim of an answer is checked before use."""

import re
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from clinfed import fingerprints, protocol, refusals
from clinfed.adapters.codec import WIRE_VERSION, WireError, WireTypeError, decode, encode
from clinfed.adapters.state import AdapterState, Shapes
from clinfed.errors import DivergedError
from clinfed.evaluation.base import EvaluationCounts
from clinfed.protocol import Answer, BadAnswerError, Reason
from clinfed.runs.backend import Block, Content, Failed
from server.wire.check import check_rows, check_tensors

CLASS_NAME = re.compile(r"([A-Z][a-z0-9]{0,19}){0,5}(Error|Exception|Interrupt|Warning)", re.ASCII)
# Of all counts of an answer, by code and language: a row takes 24 bytes on the wire and ten times that once it is read.
# All 1,767 codes of CodiEsp in two languages and eight evaluations make 28,000.
MOST_ROWS = 150_000
MOST_ARRAYS = 64  # a test evaluation has sixteen
SPARE_BYTES = 4096  # of a header
HEADER_OF_TENSOR = 200  # bytes of safetensors' header beside a tensor's name: its type, shape and place


def to_record(state: AdapterState) -> dict[str, Block]:
    """Return the state's tensors as they travel."""
    data = encode(state)
    return {protocol.TENSORS: Block(protocol.TENSORS_KIND, protocol.TENSORS_DTYPE, (len(data),), data)}


def to_answer(content: Content, names: Collection[str]) -> Answer:
    """Return who answers and what it reports, not checked yet. Raises: BadAnswerError unless it has these records."""
    if content.keys() != {protocol.IDENTITY, protocol.REPORT, *names}:
        raise BadAnswerError(Reason.MALFORMED)
    identity = dict(content[protocol.IDENTITY])
    report = dict(content[protocol.REPORT])
    return Answer(str(identity.get("clinic", "")), identity, report)


def to_state(content: Content, expected: Shapes) -> AdapterState:
    """Return the tensors of an answer, by wire names. Raises: BadAnswerError unless they are those expected."""
    arrays = content[protocol.ADAPTER]
    if arrays.keys() != {protocol.TENSORS}:
        raise BadAnswerError(Reason.MALFORMED)
    block = arrays[protocol.TENSORS]
    if (block.kind, block.dtype, block.shape) != (protocol.TENSORS_KIND, protocol.TENSORS_DTYPE, (len(block.data),)):
        raise BadAnswerError(Reason.MALFORMED)
    _check_header(block.data, expected)
    try:
        state = decode(block.data, version=WIRE_VERSION)
    except WireTypeError:
        raise BadAnswerError(Reason.TYPE) from None
    except WireError:
        raise BadAnswerError(Reason.MALFORMED) from None
    check_tensors(state, expected)
    return state


def _check_header(data: bytes, expected: Shapes) -> None:
    """Refuse a block whose header names more tensors than are expected: each empty one takes a kilobyte once read."""
    most = sum(len(name.encode()) + HEADER_OF_TENSOR for name in expected) + SPARE_BYTES
    if len(data) >= 8 and int.from_bytes(data[:8], "little") > most:
        raise BadAnswerError(Reason.NAMES)


def to_counts(content: Content, kind: type[EvaluationCounts]) -> protocol.Evaluated:
    """Return the counts of an answer, of the task's kind. Raises: BadAnswerError where they are not built as agreed."""
    blocks = content[protocol.COUNTS]
    arrays = {name: _integers(array) for name, array in blocks.items()}
    if len(arrays) > MOST_ARRAYS or sum(len(rows) for name, rows in arrays.items() if _names_rows(name)) > MOST_ROWS:
        raise BadAnswerError(Reason.COUNTS)
    try:
        check_rows(arrays)
        return protocol.counts_from_wire(arrays, content[protocol.COUNT_NAMES], kind)
    except (KeyError, ValueError, TypeError):
        raise BadAnswerError(Reason.COUNTS) from None


def without_evaluation(answer: Answer) -> Answer:
    """Return an answer to training without what the evaluation before it reports."""
    report = {name: value for name, value in answer.report.items() if name not in protocol.EVALUATION_REPORT_PART}
    return Answer(answer.clinic, answer.identity, report, answer.traffic)


def evaluation_of(answer: Answer) -> Answer:
    """Return what the evaluation before training reports; what travelled stands in the answer to training."""
    names = (*protocol.EVALUATION_REPORT_PART, "base_loads")
    return Answer(answer.clinic, answer.identity, {name: answer.report.get(name, 0) for name in names})


def failure(error: Failed) -> str:
    """Return why a failed clinic has no answer: its code and, where it is nothing more, the exception's class.

    A reason that Flower itself has written may hold the exception's text, and so a note's words: it is not repeated.
    """
    code, reason = error.code, error.reason
    if code == protocol.Failure.REFUSED and reason in refusals.REMEDIES:
        return refusals.to_coordinator(reason, code=fingerprints.code())
    if code == protocol.Failure.TRAIN and reason == DivergedError.__name__:
        return Reason.DIVERGED
    named = reason if reason and CLASS_NAME.fullmatch(reason) else "an error that is not named here"
    known = {int(each): each.name.lower() for each in protocol.Failure}
    step = f"{known[code]} failed" if code in known else "failed outside its own code"
    return f"{step} with {named} (code {code}); the details stay there, in $CLINFED_HOME/clinic/errors"


def _names_rows(name: str) -> bool:
    return name.endswith(".counts")


def _integers(array: Block) -> NDArray[np.int64]:
    if array.kind != protocol.COUNT_KIND:
        raise BadAnswerError(Reason.MALFORMED)
    if array.dtype != protocol.COUNT_DTYPE or any(type(axis) is not int or axis < 0 for axis in array.shape):
        raise BadAnswerError(Reason.COUNTS)
    try:
        # Not copied where this machine's integers are little-endian, as on the wire.
        return np.frombuffer(array.data, protocol.COUNT_DTYPE).reshape(array.shape).astype(np.int64, copy=False)
    except ValueError:  # bytes that do not fill the shape
        raise BadAnswerError(Reason.COUNTS) from None
