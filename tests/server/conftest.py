"""A federation inside the test's own process: Flower's messages and our apps, but no SuperLink, no Ray."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

import client.warm
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
            reply = client_app(message, context)
            self.replies[message_id] = self.tamper(message.metadata.message_type, reply)
        self.sent += messages
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        pulled = [self.replies[message_id] for message_id in message_ids]
        self.received += [reply for reply in pulled if reply is not None]
        return [reply for reply in pulled if reply is not None]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        raise NotImplementedError


RunLocally = Callable[..., tuple[dict[str, Any], LocalGrid]]


@pytest.fixture
def run_locally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLocally:
    """Return a function that runs the server's app to its end; it gives the run record and the grid."""
    from clinfed.evaluation import record as records
    from server.app import coordinate

    for name, value in (("task_id", 1), ("run_id", 1), ("node_id", 1)):
        monkeypatch.setattr(TaskIdentity, f"_{name}", value)
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(
        overrides: Sequence[str],
        *,
        nodes: int = 2,
        tamper: Tamper | None = None,
        watch: Watch | None = None,
        first: Sequence[int] = (),
        output: Path | None = None,
    ) -> tuple[Any, LocalGrid]:
        monkeypatch.setattr(client.warm, "_warm", None)
        output = output or tmp_path / "output"
        config = {"overrides": " ".join([*overrides, f"output={output}"])}
        grid = LocalGrid(nodes, config, tamper, watch)
        grid.nodes = list(first) or grid.nodes
        before = set(output.glob("*/record.json"))
        coordinate(grid, Context(1, 1, {}, RecordDict(), config))
        [path] = set(output.glob("*/record.json")) - before
        return records.read(path) | {"folder": path.parent}, grid

    return run
