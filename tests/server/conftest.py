"""A federation inside the test's own process: Flower's messages and our apps, but no SuperLink, no Ray."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

import client.warm
from client.app import app as client_app
from clinfed import fingerprints, protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import read_state
from clinfed.protocol import Answer, Refused
from configs import Run, load
from server.door import Door
from server.exchange import Exchange
from server.federation import Federation
from server.model import Model
from strategies.base import ServerState

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


class RecordedGrid(LocalGrid):
    """Answers with what honest clinics once said, changed by `tamper`, with the nonce of the question at hand."""

    def __init__(self, recorded: dict[tuple[str, int], RecordDict], tamper: Tamper) -> None:
        super().__init__(len({node for _, node in recorded}), {}, tamper, None)
        self.recorded = recorded

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        for number, message in enumerate(messages, len(self.sent)):
            message.metadata.__dict__["_message_id"] = f"m{number}"
            question = message.content[protocol.QUESTION]
            kind = message.metadata.message_type
            content = deepcopy(self.recorded[kind, message.metadata.dst_node_id])
            content[protocol.IDENTITY]["nonce"] = question["nonce"]
            self.replies[f"m{number}"] = self.tamper(kind, Message(content, reply_to=message))
        self.sent += messages
        return [f"m{number}" for number in range(len(self.sent) - len(messages), len(self.sent))]


@dataclass
class Outcome:
    """What came of one exchange."""

    server: ServerState
    trained: list[Answer] = field(default_factory=list)
    validated: list[Answer] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(repr=False)  # hypothesis would print all of it
class Table:
    """Five clinics whose honest answers to a hello, to a second round and to the closing are known."""

    run: Run
    model: Model
    state: AdapterState  # what the clinics were sent
    federation: Federation
    recorded: dict[tuple[str, int], RecordDict]

    def exchange(self, tamper: Tamper, deadline_s: float = 60.0) -> Exchange:
        """Return an exchange with the clinics, whose replies are changed by tamper."""
        grid = RecordedGrid(self.recorded, tamper)
        return Exchange(grid, self.run, codes=self.model.codes, code=fingerprints.code(), deadline_s=deadline_s)

    def gather(self, tamper: Tamper) -> Federation:
        """Return who takes part where hellos are changed by tamper."""
        return Door(self.exchange(tamper), self.run).open(lambda: self.model.fingerprints)

    def train(self, tamper: Tamper, *, only: Sequence[str] | None = None, deadline_s: float = 60.0) -> Outcome:
        """Return what FedAvg makes of the second round. only: the clinics that are asked at all."""
        asked = [seat for seat in self.federation.with_notes("train") if only is None or seat.clinic in only]
        done = Outcome(ServerState(self.state, {}, 1))
        lists = (done.trained, done.validated, done.refused)
        judging = self.federation.with_notes("validation")
        updates = self.exchange(tamper, deadline_s).train(asked, self.state, 2, *lists, judging=judging)
        done.server = self.run.strategy.aggregate(done.server, updates)
        return done


@pytest.fixture(scope="session")
def table(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Return five clinics' recorded answers; each clinic has really trained and judged, once."""
    overrides = [*world.overrides, "partition=quantity", "partition.power=0.7"]
    run = load(overrides)
    config = {"overrides": " ".join(overrides)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("task_id", "run_id", "node_id"):
            patch.setattr(TaskIdentity, f"_{name}", 1)
        patch.setenv("CLINFED_HOME", str(tmp_path_factory.mktemp("table")))
        patch.setattr(client.warm, "_warm", None)
        model = Model(run)
        model.build()
        state = read_state(model.tagger)
        grid = LocalGrid(5, config, None, None)
        exchange = Exchange(grid, run, codes=model.codes, code=fingerprints.code(), deadline_s=60)
        federation = Door(exchange, run).open(model.build)
        judging, refused = federation.with_notes("validation"), []
        list(exchange.train(federation.with_notes("train"), state, 2, [], [], refused, judging=judging))
        exchange.evaluate(federation.with_notes("test"), state, 2, refused, split="test", closing=True, replicates=True)
        assert refused == []
        recorded = {
            (message.metadata.message_type, message.metadata.src_node_id): message.content for message in grid.received
        }
        yield Table(run, model, state, federation, recorded)
        patch.setattr(client.warm, "_warm", None)
