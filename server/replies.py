"""Flower's records <-> AdapterState, AdapterUpdate and counts; all claims of an answer are checked before use."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.app.error import Error
from flwr.common.constant import ErrorCode

from clinfed import protocol
from clinfed.adapters.codec import DTYPE, WIRE_VERSION, WireError, WireTensor, decode, encode
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import Answer, Traffic

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
CLASS_NAME = re.compile(r"[A-Za-z_]\w{0,79}", re.ASCII)  # all that a failed clinic may say besides its code


def to_record(state: AdapterState) -> ArrayRecord:
    """Return the state's tensors as Flower sends them."""
    return ArrayRecord({t.name: Array(t.dtype, t.shape, protocol.TENSOR_KIND, t.data) for t in encode(state)})


def to_update(clinic: str, content: RecordDict, report: Mapping[str, Any], *, expected: AdapterState) -> AdapterUpdate:
    """Return a clinic's update. Raises: UserError unless keys, shapes and dtypes are the expected ones, all finite."""
    try:
        arrays = content[protocol.ADAPTER].items()
        tensors = [WireTensor(name, a.dtype, tuple(a.shape), a.data) for name, a in arrays]
        _check_shapes(tensors, expected)
        state = decode(tensors, version=WIRE_VERSION)
    except (WireError, KeyError, AttributeError, TypeError) as error:
        detail = str(error) if isinstance(error, WireError) else type(error).__name__
        raise UserError(f"clinic {clinic}: update refused: {detail}") from None
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise UserError(f"clinic {clinic}: update refused: {name} holds values that are not finite")
    num_examples = report.get("num_examples", 0)
    if type(num_examples) is not int or num_examples < 1:
        raise UserError(f"clinic {clinic}: update refused: num_examples is not a positive whole number")
    return AdapterUpdate(clinic, state, num_examples)


def failure(error: Error) -> str:
    """Return why a failed clinic has no answer: its code and, where it is nothing more, the exception's class.

    A reason that Flower itself has written may hold the exception's text, and so a note's words: it is not repeated.
    """
    code, reason = error.code, error.reason
    if code in FLOWER_CODES:
        return f"{FLOWER_CODES[code]} (Flower's code {code}); look at that machine"
    named = reason if reason and CLASS_NAME.fullmatch(reason) else "an error that is not named here"
    known = {int(each): each.name.lower() for each in protocol.Failure}
    step = f"{known[code]} failed" if code in known else "failed outside its own code"
    return f"{step} with {named} (code {code}); the detail stays there, in $CLINFED_HOME/clinic/errors"


def _check_shapes(tensors: Sequence[WireTensor], expected: AdapterState) -> None:
    found = {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors}
    wanted = {name: (array.shape, DTYPE) for name, array in expected.items()}
    if found.keys() != wanted.keys():
        name = min(found.keys() ^ wanted.keys())
        raise WireError(f"tensor {name[:200]!r} is {'missing' if name in wanted else 'not expected'}")
    for name, shape in wanted.items():
        if found[name] != shape:  # compared whole: a shape that would broadcast is refused too
            raise WireError(f"{name} has shape and dtype {found[name]}, expected {shape}")


def to_answer(reply: Message, who: str, traffic: Traffic) -> Answer:
    """Return who answered and what it reports. Raises: UserError where a record is missing."""
    try:
        identity = dict(reply.content[protocol.IDENTITY])
        report: dict[str, Any] = dict(reply.content[protocol.REPORT])
    except KeyError as error:
        raise UserError(f"{who}: its answer lacks a record ({error}); both sides must run the same code") from None
    return Answer(str(identity.get("clinic", "")), identity, report, traffic)


def without_judgement(answer: Answer) -> tuple[Answer, Answer]:
    """Return an answer to training in two: what training reports, and what the judgement before it reports."""
    judgement = {name: answer.report[name] for name in protocol.JUDGEMENT_REPORT if name in answer.report}
    training = {name: value for name, value in answer.report.items() if name not in judgement}
    judged = Answer(answer.clinic, answer.identity, {**judgement, "base_loads": answer.report.get("base_loads", 0)})
    return Answer(answer.clinic, answer.identity, training, answer.traffic), judged


def to_counts(clinic: str, content: RecordDict) -> protocol.Judged:
    """Return the counts of an answer. Raises: UserError where they are not as agreed."""
    try:
        arrays = {name: array.numpy() for name, array in content[protocol.COUNTS].items()}
        return protocol.counts_from_wire(arrays, content[protocol.COUNT_NAMES])
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"clinic {clinic}: counts refused ({type(error).__name__})") from None


def read_json(answer: Answer, key: str) -> Any:
    """Return what a clinic sent as JSON text, {} where it sent none."""
    return json.loads(str(answer.identity.get(key, "")) or "{}")
