"""Pulls one clinic's reply from Flower, and refuses one that would grow beyond a limit before it is inflated.

Flower sends a message as objects named by their hash. A part that is repeated a thousand times travels once, and is
copied a thousand times on arrival: 12 MB of traffic became 4.3 GB in the ServerApp. This module computes the size of a
reply from its parts, and stops the pull once they are too large.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import Message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    get_object_children_ids_from_object_content,
    get_object_type_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, inflate_object_from_contents, pull_objects
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed.protocol import BadAnswerError, Reason

# What an honest reply has at most, so that none takes many times its bytes once it is inflated: an empty tensor is a
# hundred bytes here and a thousand in memory, and so are names, list entries and newlines.
MOST_OBJECTS = 1000  # beside its chunks; a test evaluation has forty arrays
CHUNK_BYTES = 2**20  # Flower's chunks are larger
OWN_BYTES = 2**18  # of an object that only names others, with their shape and order
PLAIN_BYTES = 8 * 2**20  # of all texts and numbers that are no array: 460,000 codes and languages, or a hello's JSON
ENTRIES = 512  # of one record of texts or numbers
LENGTH_DELIMITED = 2  # protobuf's wire type of a text or a message
PLAIN = ("ConfigRecord", "MetricRecord")


def pull(grid: Grid, message_id: str, *, limit_bytes: int, until: float) -> Message | None:
    """Return the reply to a message, None where there is none yet.

    until: the monotonic time after which nothing is waited for. Raises: BadAnswerError for one that is too large, that
    is not what Flower makes, or whose parts never come.
    """
    if not isinstance(grid, HttpGrid):  # in this process: what comes is inflated already
        return next(iter(grid.pull_messages([message_id])), None)
    client = grid._runtime_client  # Flower's own pull_messages inflates at once; flwr is pinned below 1.42
    response = client.PullMessages(PullAppMessagesRequest(message_ids=[message_id]))
    if not response.messages_list:
        return None
    head = response.messages_list[0].metadata.message_id
    fetch = make_pull_object_fn_protobuf(client.PullObject, grid.node, grid.run.run_id)
    try:
        contents = _contents(response.message_object_trees[0], fetch, limit_bytes, until)
    finally:  # the SuperLink can let go of it, whatever it was
        confirm = ConfirmMessageReceivedRequest(node=grid.node, run_id=grid.run.run_id, message_object_id=head)
        client.ConfirmMessageReceived(confirm)
    return inflated(head, contents, limit_bytes)


def inflated(head: str, contents: dict[str, bytes], limit_bytes: int) -> Message:
    """Return the message that the objects make. Raises: BadAnswerError, where it is too large before any copy."""
    try:
        size = measured(head, contents)
    except Exception:  # whatever a stranger's bytes may do to the parser of a head or a body
        raise BadAnswerError(Reason.MALFORMED) from None
    most_objects = MOST_OBJECTS + limit_bytes // CHUNK_BYTES
    if size.all_bytes > limit_bytes or size.plain_bytes > PLAIN_BYTES or size.objects > most_objects:
        raise BadAnswerError(Reason.OVERSIZED)
    try:
        message = inflate_object_from_contents(head, contents)
    except Exception:  # Flower's own parsers, on a stranger's bytes
        raise BadAnswerError(Reason.MALFORMED) from None
    if not isinstance(message, Message):
        raise BadAnswerError(Reason.MALFORMED)
    return message


@dataclass(frozen=True)
class Size:
    """What an object is with all that it names, each as often as named. plain_bytes: of records without arrays."""

    all_bytes: int = 0
    plain_bytes: int = 0
    objects: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(
            self.all_bytes + other.all_bytes, self.plain_bytes + other.plain_bytes, self.objects + other.objects
        )


def measured(head: str, contents: dict[str, bytes]) -> Size:
    """Return the size of an object with all that it names; nothing is copied.

    Raises: KeyError, ValueError, TypeError, IndexError or RecursionError for objects that Flower does not make.
    """
    return _measured(head, contents, {})


def _measured(name: str, contents: dict[str, bytes], known: dict[str, Size]) -> Size:
    # No inner function: one that calls itself is a cycle, which would keep the contents until Python looks for cycles.
    if name not in known:
        kind = get_object_type_from_object_content(contents[name])
        own = len(contents[name])
        if kind in PLAIN:
            _check_entries(contents[name])
            known[name] = Size(own, own, 1)
        elif kind == "ArrayChunk":
            known[name] = Size(own, 0, 1)
        elif own > OWN_BYTES:
            raise ValueError("an object that only names others is too long")
        else:
            size = Size(own, 0, 1)
            for part in _named(kind, contents[name]):
                size += _measured(part, contents, known)
            known[name] = size
    return known[name]


def _check_entries(content: bytes) -> None:
    """Raise ValueError for a record of more entries than any honest one has; they are counted, not parsed."""
    place, entries = content.index(HEAD_BODY_DIVIDER) + len(HEAD_BODY_DIVIDER), 0
    while place < len(content):
        if content[place] & 7 != LENGTH_DELIMITED:  # an entry of a map is a message
            raise ValueError("a record that is no map")
        length, place = _varint(content, place + 1)
        place, entries = place + length, entries + 1
        if entries > ENTRIES:
            raise ValueError("a record of too many entries")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return the number of protobuf's wire format that begins at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    raise ValueError("a number that is too long")


def _named(kind: str, content: bytes) -> list[str]:
    """Return the objects that an object is made of, with repetitions: its body says how often, its head only which."""
    children = get_object_children_ids_from_object_content(content)
    if not children or kind == "Message":
        return children
    body = json.loads(content[content.index(HEAD_BODY_DIVIDER) + len(HEAD_BODY_DIVIDER) :])
    return [children[i] for i in body["arraychunk_ids"]] if kind == "Array" else list(body.values())


def _contents(tree: ObjectTree, fetch: Callable[[str], bytes], limit_bytes: int, until: float) -> dict[str, bytes]:
    """Return the objects of a tree by name, each fetched once."""
    names = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
    if len(names) > MOST_OBJECTS + limit_bytes // CHUNK_BYTES:
        raise BadAnswerError(Reason.OVERSIZED)
    fetched_bytes = 0

    def fetch_limited(name: str) -> bytes:
        nonlocal fetched_bytes
        if time.monotonic() > until:
            raise BadAnswerError(Reason.LATE)
        content = fetch(name)
        fetched_bytes += len(content)
        if fetched_bytes > limit_bytes:
            raise BadAnswerError(Reason.OVERSIZED)
        return content

    try:
        return pull_objects(names, fetch_limited, max_time=max(0.0, until - time.monotonic()))
    except ObjectPullError:
        raise BadAnswerError(Reason.LOST) from None
