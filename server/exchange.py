"""Questions to the clinics and their answers: Message <-> AdapterUpdate, with every claim checked.

Answers are read one clinic at a time, in the order of clinic names, whatever order they arrive in: sums are then the
same in every run, and the server never holds more than one clinic's tensors.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import recorddict_to_proto
from flwr.serverapp import Grid

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import Answer, Traffic
from server.replies import failure, to_answer, to_counts, to_record, to_update, without_judgement

# A five-hundredth of the time already waited, inside these limits: quick in a simulation, gentle over a network.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_SHARE = 0.02, 1.0, 0.002


@dataclass(frozen=True)
class Seat:
    """One clinic of the run: its name and the Flower node that answers for it."""

    clinic: str
    node: int


class Exchange:
    """Asks all clinics the same question and yields their answers in the order of clinic names."""

    def __init__(self, grid: Grid, *, code: str, deadline_s: float) -> None:
        self._grid = grid
        self._code = code
        self._deadline_s = deadline_s

    def nodes(self) -> list[int]:
        """Return the nodes that are online."""
        return sorted(self._grid.get_node_ids())

    def ask_hello(self, nodes: Sequence[int]) -> list[str]:
        """Send a hello to nodes whose clinics are not known yet; returns the ids to read the answers by."""
        return self._send(nodes, protocol.HELLO, _question(0), "hello")

    def read_hello(self, nodes: Sequence[int], message_ids: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        """Yield each node with its answer."""
        for node, message_id in zip(nodes, message_ids, strict=True):
            reply = self._wait(message_id, f"node {node}")
            answer = to_answer(reply, f"node {node}", Traffic())
            yield node, answer

    def train(
        self,
        seats: Sequence[Seat],
        state: AdapterState,
        number: int,
        trained: list[Answer],
        validated: list[Answer],
        *,
        judging: Sequence[Seat] = (),
    ) -> Iterator[AdapterUpdate]:
        """Send the state to all clinics; yield their updates in order, and append what they report to `trained`.

        judging: the clinics that first judge the state on their validation notes; `validated` gets their counts.
        """
        content = _question(number, split="validation" if judging else "") | {protocol.ADAPTER: to_record(state)}
        for seat, reply, traffic in self._ask(seats, protocol.TRAIN, content, number):
            answer = self._checked(seat, reply, traffic)
            if seat in judging:
                answer, judged = without_judgement(answer)
                judged.counts = to_counts(seat.clinic, reply.content)
                validated.append(judged)
            trained.append(answer)
            update = to_update(seat.clinic, reply.content, answer.report, expected=state)
            traffic.tensors_down, traffic.tensors_up = state.num_bytes, update.state.num_bytes
            yield update

    def evaluate(
        self, seats: Sequence[Seat], state: AdapterState, number: int, *, split: str, closing: bool
    ) -> list[Answer]:
        """Let all clinics judge the state on one split; return their counts."""
        content = _question(number, split=split, closing=closing) | {protocol.ADAPTER: to_record(state)}
        answers = []
        for seat, reply, traffic in self._ask(seats, protocol.EVALUATE, content, number):
            traffic.tensors_down = state.num_bytes
            answer = self._checked(seat, reply, traffic)
            answer.counts = to_counts(seat.clinic, reply.content)
            answers.append(answer)
        return answers

    def _ask(
        self, seats: Sequence[Seat], kind: str, content: dict[str, Any], number: int
    ) -> Iterator[tuple[Seat, Message, Traffic]]:
        seats = sorted(seats, key=lambda seat: seat.clinic)
        message_ids = self._send([seat.node for seat in seats], kind, content, str(number))
        down = _size(RecordDict(content))
        for seat, message_id in zip(seats, message_ids, strict=True):
            reply = self._wait(message_id, f"clinic {seat.clinic}")
            yield seat, reply, Traffic(message_down=down, message_up=_size(reply.content))

    def _send(self, nodes: Sequence[int], kind: str, content: dict[str, Any], group: str) -> list[str]:
        # One record for all: its objects are content-addressed, so that a broadcast is stored once.
        record = RecordDict(content)
        messages = [Message(record, node, kind, group_id=group) for node in nodes]
        message_ids = list(self._grid.push_messages(messages))
        if len(message_ids) != len(nodes) or not all(message_ids):
            raise UserError(f"Flower took {len(message_ids)} of {len(nodes)} messages; look into the SuperLink's log")
        return message_ids

    def _wait(self, message_id: str, who: str) -> Message:
        """Return the reply. Raises: UserError for a failure of the clinic, and after the deadline."""
        started = time.monotonic()
        while (waited := time.monotonic() - started) < self._deadline_s:
            for reply in self._grid.pull_messages([message_id]):
                if reply.has_error():
                    raise UserError(failure(who, reply.error.code, reply.error.reason))
                return reply
            time.sleep(min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, PAUSE_SHARE * waited)))
        raise UserError(f"{who}: no answer in {self._deadline_s:.0f} s; look at that clinic, then start the run again")

    def _checked(self, seat: Seat, reply: Message, traffic: Traffic) -> Answer:
        answer = to_answer(reply, f"clinic {seat.clinic}", traffic)
        for name, expected in (("clinic", seat.clinic), ("wire", WIRE_VERSION), ("code", self._code)):
            if answer.identity.get(name) != expected:
                found = str(answer.identity.get(name))[:16]
                raise UserError(
                    f"clinic {seat.clinic}: its answer has {name} {found!r}, the server expects "
                    f"{str(expected)[:16]!r}; both sides must run the same code"
                )
        return answer


def _question(number: int, *, split: str = "", closing: bool = False) -> dict[str, Any]:
    question = ConfigRecord({"round": number, "split": split, "closing": closing, "wire": WIRE_VERSION})
    return {protocol.QUESTION: question}


def _size(content: RecordDict) -> int:
    """Return the bytes of a message's content as Flower serialises it."""
    return int(recorddict_to_proto(content).ByteSize())
