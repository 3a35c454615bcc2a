"""Whom an exchange asks, what is on its way, and what comes back of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clinfed.adapters.update import AdapterUpdate
from clinfed.protocol import Answer


@dataclass(frozen=True)
class ClinicHandle:
    """One clinic of the run: its name, the Flower node that answers for it, and the figures of its hello."""

    clinic: str
    node: int
    registered: Mapping[str, int] = field(default_factory=dict, compare=False)  # protocol.HELLO_REPORT


@dataclass(frozen=True)
class Trained:
    """One clinic's answer to training. validated: its evaluation of what it was sent, where it was asked for.

    length: Euclidean, of what its training has moved.
    """

    update: AdapterUpdate
    answer: Answer
    validated: Answer | None
    length: float


@dataclass(frozen=True)
class Asked:
    """A question that is on its way: to whom, and what an answer must obey."""

    handles: tuple[ClinicHandle, ...]
    message_ids: tuple[str, ...]  # "": of a node that is not known any more
    nonce: str
    until: float  # monotonic time
    limit_bytes: int  # of an answer, inflated
    size_bytes: int  # of the question
    kind: str = ""
    questions: tuple[Mapping[str, Any], ...] = ()  # to each of handles, without tensors
