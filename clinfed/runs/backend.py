"""Backend: how a question reaches the clinics and an answer comes back, whoever runs the clinics.

A message is plain records, so that codec, checks and the loop over rounds do not know which backend carries it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Content = dict[str, dict[str, Any]]  # record -> name -> number, text or Block


@dataclass(frozen=True, slots=True)
class Block:
    """An array as it travels. kind says how to read its bytes; nothing here has been checked."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A clinic's answer. size_bytes: of the content as it travelled."""

    content: Content
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A clinic's word that it has no answer. code: a protocol.Failure; reason: an exception's class, or a setting."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A question on its way. message_ids: in the order of the nodes; "" of a node that is not known any more."""

    message_ids: tuple[str, ...]
    size_bytes: int  # of the question to one node


class Backend(Protocol):
    """Who runs the clinics. remote: they are on other machines, so that each look is a request over a network."""

    remote: bool

    def nodes(self) -> list[int]:
        """Return the nodes that are online, sorted."""

    def send(self, kind: str, contents: Sequence[Content], nodes: Sequence[int], *, group: str) -> Sent:
        """Send each node its question. kind: one of protocol.HELLO, TRAIN and EVALUATE."""

    def receive(self, message_id: str, *, limit_bytes: int, until: float) -> Reply | Failed | None:
        """Return the answer to a message, None where there is none yet; an answer is received once.

        until: the monotonic time after which nothing is waited for. Raises: BadAnswerError for an answer that is larger
        than limit_bytes, that is not built as agreed, or that was lost.
        """
