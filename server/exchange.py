"""Questions to the clinics and their answers: Message <-> AdapterUpdate, with every claim checked.

Answers are read one clinic at a time, in the order of clinic names, whatever order they arrive in: sums are then the
same in every run, and the server never holds more than one clinic's tensors. An answer that breaks a rule
(server/quarantine.py) is left out and its clinic named; the exchange goes on with the others.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import Answer, Refused, Traffic
from clinfed.training.reach import reach
from configs import Run
from server import quarantine
from server.inbox import pull
from server.quarantine import BadAnswerError, Reason
from server.replies import (
    check_hello,
    failure,
    judgement_of,
    size_of,
    to_answer,
    to_counts,
    to_record,
    to_state,
    without_judgement,
)

# A five-hundredth of the time already waited, inside these limits.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_SHARE = 0.02, 1.0, 0.002
# Where each look is a request: fifty of them a second keep the SuperLink busy for half of a core.
SHORTEST_REQUEST_PAUSE_S = 0.25
GONE = "its SuperNode is not connected"
READING_S = 60.0  # to fetch one answer that is there
# Of an answer beside its tensors: counts of 29,000 codes in two languages with replicates take 12 MB.
ENVELOPE_BYTES = 32 * 2**20

COUNTED = (protocol.COUNTS, protocol.COUNT_NAMES)  # the records of a judgement


@dataclass(frozen=True)
class Seat:
    """One clinic of the run: its name, the Flower node that answers for it, and the figures of its hello."""

    clinic: str
    node: int
    registered: Mapping[str, int] = field(default_factory=dict, compare=False)  # protocol.HELLO_REPORT


class Exchange:
    """Asks all clinics the same question and yields their answers in the order of clinic names."""

    def __init__(
        self,
        grid: Grid,
        run: Run,
        *,
        codes: Collection[str],
        code: str,
        deadline_s: float,
        answered: Callable[[int, int, int], None] = lambda number, answers, clinics: None,
    ) -> None:
        """deadline_s: for all answers of one question; may be set anew between two questions.

        answered: called in training with the round, how many answers have come, and how many clinics were asked.
        """
        self._grid = grid
        self._run = run
        self._codes = frozenset(codes)  # all that a real site may name in its counts
        self._code = code
        self.deadline_s = deadline_s
        self._answered = answered

    @property
    def over_http(self) -> bool:
        """Return whether the clinics are on other machines; those of a simulation share this one."""
        return isinstance(self._grid, HttpGrid)

    def nodes(self) -> list[int]:
        """Return the nodes that are online."""
        return sorted(self._grid.get_node_ids())

    def ask_hello(self, nodes: Sequence[int]) -> "Asked":
        """Send a hello to nodes whose clinics are not known yet; returns what to read the answers by."""
        return self._send([Seat("", node) for node in nodes], protocol.HELLO, {}, 0)

    def read_hello(self, asked: "Asked", *, wait: bool = True) -> Iterator[tuple[int, Answer | str]]:
        """Yield each node with its answer, or with why there is none; without wait, of those that have come.

        An answer is read once. A node that is silent until the deadline is yielded with that as its reason.
        """
        for seat, message_id in zip(asked.seats, asked.message_ids, strict=True):
            try:
                if (reply := self._reply(message_id, asked, wait=wait)) is not None:
                    _, answer = self._identified(seat, reply, asked)
                    check_hello(answer)
                    yield seat.node, answer
            except BadAnswerError as bad:
                yield seat.node, bad.reason

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
        refused: gets the clinics whose answers cannot be used.
        """
        record = {protocol.ADAPTER: to_record(state)}
        asked = self._send(seats, protocol.TRAIN, record, number, split="validation" if judging else "")
        for answers, (seat, message_id) in enumerate(zip(asked.seats, asked.message_ids, strict=True)):
            self._answered(number, answers, len(asked.seats))
            try:
                names = (protocol.ADAPTER, *(COUNTED if seat in judging else ()))
                content, answer = self._identified(seat, self._reply(message_id, asked), asked, *names)
                judged = self._judged(seat, content, answer) if seat in judging else None
                update = self._update(seat, content, answer, state, number, judges=seat in judging)
            except BadAnswerError as bad:
                refused.append(Refused(seat.clinic, bad.reason))
                continue
            answer.traffic = Traffic(update.state.num_bytes, state.num_bytes, size_of(content), asked.size_bytes)
            trained.append(without_judgement(answer))
            validated += [judged] if judged else []
            yield update
        self._answered(number, len(asked.seats), len(asked.seats))

    def evaluate(
        self,
        seats: Sequence[Seat],
        state: AdapterState,
        number: int,
        refused: list[Refused],
        *,
        split: str,
        closing: bool,
        replicates: bool,
    ) -> list[Answer]:
        """Let all clinics judge the state on one split; return the counts of those whose answers can be used.

        refused: gets the others. replicates: with bootstrap replicates, which the closing cannot be without.
        """
        record = {protocol.ADAPTER: to_record(state)}
        asked = self._send(
            seats, protocol.EVALUATE, record, number, split=split, closing=closing, replicates=replicates
        )
        answers = []
        for seat, message_id in zip(asked.seats, asked.message_ids, strict=True):
            try:
                content, answer = self._identified(seat, self._reply(message_id, asked), asked, *COUNTED)
                quarantine.check_report(answer.report, protocol.EVALUATE_REPORT)
                answer.counts = self._counts(seat, content, split, closing=closing, replicates=replicates)
            except BadAnswerError as bad:
                refused.append(Refused(seat.clinic, bad.reason))
                continue
            answer.traffic = Traffic(0, state.num_bytes, size_of(content), asked.size_bytes)
            answers.append(answer)
        return answers

    def _update(
        self, seat: Seat, content: RecordDict, answer: Answer, state: AdapterState, number: int, *, judges: bool
    ) -> AdapterUpdate:
        """Return the update of an answer to training. Raises: BadAnswerError."""
        num_examples = answer.report.get("num_examples")
        quarantine.check_examples(num_examples, seat.registered["train_notes"])
        judgement = protocol.JUDGEMENT_REPORT if judges else ()
        quarantine.check_report(answer.report, (*protocol.TRAIN_REPORT, *judgement))
        update = to_state(content, state)
        farthest = reach(self._run.training, self._run.passes_of_round(number), seat.registered["train_windows"])
        quarantine.check_reach(update, state, farthest)
        return AdapterUpdate(seat.clinic, update, answer.report["num_examples"])

    def _judged(self, seat: Seat, content: RecordDict, answer: Answer) -> Answer:
        """Return the judgement that comes with an answer to training. Raises: BadAnswerError."""
        judged = judgement_of(answer)
        judged.counts = self._counts(seat, content, "validation", closing=False, replicates=False)
        return judged

    def _counts(
        self, seat: Seat, content: RecordDict, split: str, *, closing: bool, replicates: bool
    ) -> protocol.Judged:
        """Return the counts of an answer. Raises: BadAnswerError."""
        counts = to_counts(content)
        quarantine.check_counts(
            counts,
            split=split,
            closing=closing,
            replicates=replicates,
            registered=seat.registered,
            shared=self._codes,
        )
        return counts

    def _send(
        self,
        seats: Sequence[Seat],
        kind: str,
        content: Mapping[str, Any],
        number: int,
        *,
        split: str = "",
        closing: bool = False,
        replicates: bool = False,
    ) -> "Asked":
        """Push one question to all clinics, in the order of their names."""
        seats = sorted(seats, key=lambda seat: (seat.clinic, seat.node))
        nonce = secrets.token_hex(16)  # who answers with an older one repeats an older answer
        asked = {"round": number, "split": split, "closing": closing, "replicates": replicates}
        asked |= {"wire": WIRE_VERSION, "nonce": nonce}
        # One record for all: its objects are content-addressed, so that a broadcast is stored once.
        record = RecordDict({protocol.QUESTION: ConfigRecord(asked), **content})
        messages = [Message(record, seat.node, kind, group_id=str(number)) for seat in seats]
        message_ids = list(self._grid.push_messages(messages))
        if len(message_ids) != len(seats):
            raise UserError(f"Flower took {len(message_ids)} of {len(seats)} messages; look into the SuperLink's log")
        tensors = content.get(protocol.ADAPTER, {})
        limit_bytes = ENVELOPE_BYTES + sum(len(array.data) for array in tensors.values())
        until = time.monotonic() + self.deadline_s
        return Asked(tuple(seats), tuple(message_ids), nonce, until, limit_bytes, size_of(record))

    def _identified(self, seat: Seat, reply: Message | None, asked: "Asked", *names: str) -> tuple[RecordDict, Answer]:
        """Return a clinic's answer, of whose content only the identity is checked. Raises: BadAnswerError.

        names: of the records beside identity and report.
        """
        assert reply is not None  # it was waited for
        answer = to_answer(reply.content, names)
        # A hello's seat has no name yet.
        quarantine.check_identity(answer.identity, clinic=seat.clinic or None, code=self._code, nonce=asked.nonce)
        return reply.content, answer

    def _reply(self, message_id: str | None, asked: "Asked", *, wait: bool = True) -> Message | None:
        """Return the reply, None where it has not come yet and is not waited for. Raises: BadAnswerError."""
        if not message_id:  # Flower knows no such node any more
            raise BadAnswerError(GONE)
        started = time.monotonic()
        while True:
            # An answer that came in time is read also after the deadline: a clinic named before may have been silent.
            until = max(asked.until, time.monotonic() + READING_S)
            reply = pull(self._grid, message_id, limit_bytes=asked.limit_bytes, until=until)
            if reply is not None and reply.has_error():
                raise BadAnswerError(failure(reply.error))
            if reply is not None:
                return reply
            if (now := time.monotonic()) > asked.until:
                raise BadAnswerError(Reason.LATE)
            if not wait:
                return None
            shortest_s = SHORTEST_REQUEST_PAUSE_S if self.over_http else SHORTEST_PAUSE_S
            pause_s = min(LONGEST_PAUSE_S, max(shortest_s, PAUSE_SHARE * (now - started)))
            time.sleep(min(pause_s, asked.until - now + SHORTEST_PAUSE_S))


@dataclass(frozen=True)
class Asked:
    """A question that is on its way: to whom, and what an answer must obey."""

    seats: tuple[Seat, ...]
    message_ids: tuple[str | None, ...]  # None or "": of a node that Flower does not know any more
    nonce: str
    until: float  # monotonic time
    limit_bytes: int  # of an answer, inflated
    size_bytes: int  # of the question
