"""Clinics that Flower runs: simulated ones in its engine, or real sites behind their SuperNodes."""

from collections.abc import Sequence

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_to_proto
from flwr.serverapp import Grid
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed.backends.flower_pull import pull
from clinfed.backends.records import from_flower, to_flower
from clinfed.errors import UserError
from clinfed.protocol import BadAnswerError, Reason
from clinfed.runs.backend import Content, Failed, Reply, Sent

# What Flower itself says of a clinic; its reasons hold an exception's text, so only its codes are used.
CODES = {
    int(ErrorCode.UNKNOWN): "its worker died (memory, perhaps)",
    int(ErrorCode.LOAD_CLIENT_APP_EXCEPTION): "its code cannot be imported",
    int(ErrorCode.MESSAGE_UNAVAILABLE): "the message was lost",
    int(ErrorCode.REPLY_MESSAGE_UNAVAILABLE): "its answer was lost",
    int(ErrorCode.NODE_UNAVAILABLE): "its SuperNode is gone",
    int(ErrorCode.INVALID_FAB): "it refuses this bundle of code",
    int(ErrorCode.CLIENT_APP_CRASHED): "its process died (memory, perhaps)",
}


class FlowerBackend:
    """Carries messages over Flower's grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.remote = isinstance(grid, HttpGrid)

    def nodes(self) -> list[int]:
        """Return the nodes that are online, sorted."""
        return sorted(self._grid.get_node_ids())

    def send(self, kind: str, contents: Sequence[Content], nodes: Sequence[int], *, group: str) -> Sent:
        """Push each node's question. Tensors are content-addressed objects: a broadcast is stored once."""
        records = [to_flower(content) for content in contents]
        messages = [Message(record, node, kind, group_id=group) for record, node in zip(records, nodes, strict=True)]
        message_ids = tuple(each or "" for each in self._grid.push_messages(messages))
        if len(message_ids) != len(nodes):
            raise UserError(f"Flower took {len(message_ids)} of {len(nodes)} messages; look into the SuperLink's log")
        return Sent(message_ids, max(map(size_of, records), default=0))  # they differ by a digit at most

    def receive(self, message_id: str, *, limit_bytes: int, until: float) -> Reply | Failed | None:
        """Return the answer to a message, None where there is none yet. Raises: BadAnswerError."""
        message = pull(self._grid, message_id, limit_bytes=limit_bytes, until=until)
        if message is None:
            return None
        if message.has_error():
            code = message.error.code
            if code in CODES:
                raise BadAnswerError(f"{CODES[code]} (Flower's code {code}); look at that machine")
            return Failed(code, str(message.error.reason or ""))
        try:
            return Reply(from_flower(message.content), size_of(message.content))
        except Exception:  # Flower's own code, on what a stranger has sent
            raise BadAnswerError(Reason.MALFORMED) from None


def size_of(content: RecordDict) -> int:
    """Return the bytes of a message's content as Flower serialises it."""
    return int(recorddict_to_proto(content).ByteSize())
