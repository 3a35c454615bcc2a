"""A federation inside one process: Flower's messages and our apps, but no SuperLink, no Ray."""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from client.app import app as client_app

Tamper = Callable[[str, Message], Message | None]  # (kind of question, reply) -> what arrives; None: nothing ever
Watch = Callable[["LocalGrid", Message], None]  # (grid, question): called before it is answered


class LocalGrid(Grid):
    """Answers each question at once, in this process; nodes answer in reverse order, as a network might.

    nodes: those that are connected; the clinic of node 101 comes back as 201, 301, ...
    """

    def __init__(self, num_nodes: int, run_config: dict[str, Any], tamper: Tamper | None, watch: Watch | None) -> None:
        self.num_nodes = num_nodes
        self.run_config = run_config
        self.tamper = tamper or (lambda kind, reply: reply)
        self.watch = watch or (lambda grid, message: None)
        self.nodes = [100 + number for number in range(num_nodes)]
        self.replies: dict[str, Message | None] = {}
        self.sent: list[Message] = []
        self.received: list[Message] = []

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        ids = [f"m{len(self.sent) + number}" for number in range(len(messages))]
        for message_id, message in reversed(list(zip(ids, messages, strict=True))):
            message.metadata.__dict__["_message_id"] = message_id
            self.watch(self, message)
            number = message.metadata.dst_node_id % 100
            node = {"partition-id": number, "num-partitions": self.num_nodes}
            context = Context(1, message.metadata.dst_node_id, node, RecordDict(), self.run_config)
            received = copy(message)
            received.content = RecordDict(dict(message.content))  # what one node does to it the others never see
            reply = client_app(received, context)
            self.replies[message_id] = self.tamper(message.metadata.message_type, reply)
        self.sent += messages
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        pulled = [self.replies[message_id] for message_id in message_ids]
        self.received += [reply for reply in pulled if reply is not None]
        return [reply for reply in pulled if reply is not None]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        raise NotImplementedError
