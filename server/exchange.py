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
from clinfed.protocol import Answer, Refused, Traffic
from server.replies import failure, to_answer, to_counts, to_record, to_update, without_judgement

# A five-hundredth of the time already waited, inside these limits: quick in a simulation, gentle over a network.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_SHARE = 0.02, 1.0, 0.002

GONE = "its SuperNode is not connected"


@dataclass(frozen=True)
class Seat:
    """One clinic of the run: its name and the Flower node that answers for it."""

    clinic: str
    node: int


class Exchange:
    """Asks all clinics the same question and yields their answers in the order of clinic names."""

    def __init__(self, grid: Grid, *, code: str, deadline_s: float) -> None:
        """deadline_s: for all answers of one question; may be set anew between two questions."""
        self._grid = grid
        self._code = code
        self.deadline_s = deadline_s

    def nodes(self) -> list[int]:
        """Return the nodes that are online."""
        return sorted(self._grid.get_node_ids())

    def ask_hello(self, nodes: Sequence[int]) -> "Asked":
        """Send a hello to nodes whose clinics are not known yet; returns what to read the answers by."""
        return self._send([Seat("", node) for node in nodes], protocol.HELLO, _question(0), "hello")

    def read_hello(self, asked: "Asked", *, wait: bool = True) -> Iterator[tuple[int, Answer | str]]:
        """Yield each node with its answer, or with why there is none; without wait, of those that have come.

        An answer is read once. A node that is silent until the deadline is yielded with that as its reason.
        """
        for seat, message_id in zip(asked.seats, asked.message_ids, strict=True):
            try:
                if (reply := self._reply(message_id, asked, wait=wait)) is not None:
                    yield seat.node, to_answer(reply, f"node {seat.node}", Traffic())
            except NoAnswerError as error:
                yield seat.node, error.reason

    def train(
        self,
        seats: Sequence[Seat],
        state: AdapterState,
        number: int,
        trained: list[Answer],
        validated: list[Answer],
        refused: list[Refused],
        *,
        judging: Sequence[Seat] = (),
    ) -> Iterator[AdapterUpdate]:
        """Send the state to all clinics; yield their updates in order, and append what they report to `trained`.

        judging: the clinics that first judge the state on their validation notes; `validated` gets their counts.
        refused: gets the clinics that have failed or are too late.
        """
        content = _question(number, split="validation" if judging else "") | {protocol.ADAPTER: to_record(state)}
        for seat, reply, traffic in self._ask(seats, protocol.TRAIN, content, number, refused):
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
        self,
        seats: Sequence[Seat],
        state: AdapterState,
        number: int,
        refused: list[Refused],
        *,
        split: str,
        closing: bool,
    ) -> list[Answer]:
        """Let all clinics judge the state on one split; return their counts. refused: as in train."""
        content = _question(number, split=split, closing=closing) | {protocol.ADAPTER: to_record(state)}
        answers = []
        for seat, reply, traffic in self._ask(seats, protocol.EVALUATE, content, number, refused):
            traffic.tensors_down = state.num_bytes
            answer = self._checked(seat, reply, traffic)
            answer.counts = to_counts(seat.clinic, reply.content)
            answers.append(answer)
        return answers

    def _ask(
        self, seats: Sequence[Seat], kind: str, content: dict[str, Any], number: int, refused: list[Refused]
    ) -> Iterator[tuple[Seat, Message, Traffic]]:
        seats = sorted(seats, key=lambda seat: seat.clinic)
        asked = self._send(seats, kind, content, str(number))
        down = _size(RecordDict(content))
        for seat, message_id in zip(asked.seats, asked.message_ids, strict=True):
            try:
                reply = self._reply(message_id, asked)
            except NoAnswerError as error:
                refused.append(Refused(seat.clinic, error.reason))
                continue
            assert reply is not None
            yield seat, reply, Traffic(message_down=down, message_up=_size(reply.content))

    def _send(self, seats: Sequence[Seat], kind: str, content: dict[str, Any], group: str) -> "Asked":
        # One record for all: its objects are content-addressed, so that a broadcast is stored once.
        record = RecordDict(content)
        messages = [Message(record, seat.node, kind, group_id=group) for seat in seats]
        message_ids = list(self._grid.push_messages(messages))
        if len(message_ids) != len(seats):
            raise UserError(f"Flower took {len(message_ids)} of {len(seats)} messages; look into the SuperLink's log")
        return Asked(tuple(seats), tuple(message_ids), time.monotonic() + self.deadline_s, self.deadline_s)

    def _reply(self, message_id: str | None, asked: "Asked", *, wait: bool = True) -> Message | None:
        """Return the reply, None where it has not come yet and is not waited for. Raises: NoAnswerError."""
        if not message_id:  # Flower knows no such node any more
            raise NoAnswerError(GONE)
        started = time.monotonic()
        while True:
            for reply in self._grid.pull_messages([message_id]):
                if reply.has_error():
                    raise NoAnswerError(failure(reply.error))
                return reply
            now = time.monotonic()
            if now > asked.until:
                raise NoAnswerError(f"no answer in {asked.deadline_s:.0f} s")
            if not wait:
                return None
            pause_s = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, PAUSE_SHARE * (now - started)))
            time.sleep(min(pause_s, asked.until - now + SHORTEST_PAUSE_S))

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


@dataclass(frozen=True)
class Asked:
    """A question that is on its way: to whom, and until when answers count."""

    seats: tuple[Seat, ...]
    message_ids: tuple[str | None, ...]  # None or "": of a node that Flower does not know any more
    until: float  # monotonic time
    deadline_s: float


class NoAnswerError(Exception):
    """A clinic has failed, or is late; `reason` is a phrase of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _question(number: int, *, split: str = "", closing: bool = False) -> dict[str, Any]:
    question = ConfigRecord({"round": number, "split": split, "closing": closing, "wire": WIRE_VERSION})
    return {protocol.QUESTION: question}


def _size(content: RecordDict) -> int:
    """Return the bytes of a message's content as Flower serialises it."""
    return int(recorddict_to_proto(content).ByteSize())
