"""Five clinics whose honest answers are known, and what a server makes of them when they are tampered with."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

import clinfed.clinic.cache
from clinfed import fingerprints, protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state
from clinfed.backends.flower import FlowerBackend
from clinfed.protocol import Answer, Refused
from configs import Run, load
from server.admission import Admission
from server.federation import Federation
from server.model import Model
from server.participation import Accepted
from server.wire.exchange import Exchange
from strategies.base import ServerState
from tests.local_grid import LocalGrid, Tamper

KEY = 32 * "0"  # of a run


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
    """Five clinics whose honest answers to a hello, to a second round and to the test evaluation are known."""

    run: Run
    model: Model
    state: AdapterState  # what the clinics were sent
    federation: Federation
    recorded: dict[tuple[str, int], RecordDict]

    def exchange(self, tamper: Tamper, deadline_s: float = 60.0) -> Exchange:
        """Return an exchange with the clinics, whose replies are changed by tamper."""
        grid = RecordedGrid(self.recorded, tamper)
        return Exchange(
            FlowerBackend(grid), self.run, codes=self.model.codes, code=fingerprints.code(), deadline_s=deadline_s
        )

    def gather(self, tamper: Tamper) -> Federation:
        """Return who takes part where hellos are changed by tamper."""
        return Admission(self.exchange(tamper), self.run).open(lambda: self.model.fingerprints)

    def train(self, tamper: Tamper, *, only: Sequence[str] | None = None, deadline_s: float = 60.0) -> Outcome:
        """Return what FedAvg makes of the second round. only: the clinics that are asked at all."""
        asked = [handle for handle in self.federation.with_notes("train") if only is None or handle.clinic in only]
        done = Outcome(ServerState(self.state, {}, 1))
        evaluating = self.federation.with_notes("validation")
        replies = self.exchange(tamper, deadline_s).train(
            asked, Payload(self.state), 2, run_key=KEY, evaluating=evaluating
        )
        updates = Accepted(replies, least=0, what="round 2")
        done.server = self.run.strategy.aggregate(done.server, updates)
        done.trained, done.validated, done.refused = updates.trained, updates.validated, updates.refused
        return done


@pytest.fixture(scope="session")
def table(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Return five clinics' recorded answers; each clinic has really trained and evaluated, once."""
    overrides = [*world.overrides, "partition=quantity", "partition.power=0.7"]
    run = load(overrides)
    config = {"overrides": " ".join(overrides)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("task_id", "run_id", "node_id"):
            patch.setattr(TaskIdentity, f"_{name}", 1)
        patch.setenv("CLINFED_HOME", str(tmp_path_factory.mktemp("table")))
        patch.setattr(clinfed.clinic.cache, "_worker_cache", None)
        model = Model(run)
        model.build()
        state = read_state(model.tagger)
        grid = LocalGrid(5, config, None, None)
        exchange = Exchange(FlowerBackend(grid), run, codes=model.codes, code=fingerprints.code(), deadline_s=60)
        federation = Admission(exchange, run).open(model.build)
        evaluating, test = federation.with_notes("validation"), federation.with_notes("test")
        trainers = federation.with_notes("train")
        trained = [*exchange.train(trainers, Payload(state), 2, run_key=KEY, evaluating=evaluating)]
        test_evaluation = [
            *exchange.evaluate(test, state, 2, split="test", test_evaluation=True, replicates=True, run_key=KEY)
        ]
        assert not [reply for reply in [*trained, *test_evaluation] if isinstance(reply, Refused)]
        recorded = {
            (message.metadata.message_type, message.metadata.src_node_id): message.content for message in grid.received
        }
        yield Table(run, model, state, federation, recorded)
        patch.setattr(clinfed.clinic.cache, "_worker_cache", None)
