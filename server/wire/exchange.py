"""Questions to the clinics and their answers: plain records <-> AdapterUpdate, with every claim checked.

Answers are read one clinic at a time, in the order of clinic names, whatever order they arrive in: sums are then the
same in every run, and the server never holds more than one clinic's tensors. An answer that breaks a rule
(server/wire/check.py) is left out and its clinic named; the exchange goes on with the others.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate, Payload
from clinfed.protocol import Answer, BadAnswerError, Reason, Refused, Traffic
from clinfed.runs.backend import Backend, Content, Failed, Reply
from clinfed.training.max_update import largest_step, most_steps, reach
from configs import Run
from server.wire import check
from server.wire.decode import (
    check_hello,
    failure,
    judgement_of,
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


@dataclass(frozen=True)
class Trained:
    """One clinic's answer to training. validated: its judgement of what it was sent, where it was asked for."""

    update: AdapterUpdate
    answer: Answer
    validated: Answer | None


class Exchange:
    """Asks all clinics the same question and yields their answers in the order of clinic names."""

    def __init__(
        self,
        backend: Backend,
        run: Run,
        *,
        codes: Collection[str],
        code: str,
        deadline_s: float,
        progress: Callable[[int, int, int], None] = lambda number, answers, clinics: None,
    ) -> None:
        """deadline_s: for all answers of one question; may be set anew between two questions.

        progress: called in training with the round, how many answers have come, and how many clinics were asked.
        """
        self.backend = backend
        self._run = run
        self._codes = frozenset(codes)  # all that a real site may name in its counts
        self._code = code
        self.deadline_s = deadline_s
        self._progress = progress

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
                    answer = self._identified(seat, reply.content, asked)
                    check_hello(answer)
                    yield seat.node, answer
            except BadAnswerError as bad:
                yield seat.node, bad.reason

    def train(
        self,
        seats: Sequence[Seat],
        sent: Payload,
        number: int,
        *,
        judging: Sequence[Seat] = (),
        run_key: str = "",
        accepted: Mapping[str, int] = MappingProxyType({}),
    ) -> Iterator[Trained | Refused]:
        """Send the payload to all clinics; yield what each has sent, or why it is left out, in order.

        judging: the clinics that first judge the adapter on their validation notes. run_key, accepted: whose and which
        state a clinic takes up, as in server.rounds.Course.
        """
        record = {protocol.ADAPTER: to_record(sent.flat)}
        own = {
            seat.clinic: {protocol.RUN_KEY: run_key, protocol.STATE_ROUND: accepted.get(seat.clinic, 0)}
            for seat in seats
        }
        asked = self._send(seats, protocol.TRAIN, record, number, split="validation" if judging else "", own=own)
        for answers, (seat, message_id) in enumerate(zip(asked.seats, asked.message_ids, strict=True)):
            self._progress(number, answers, len(asked.seats))
            try:
                yield self._trained(seat, message_id, asked, sent, number, judges=seat in judging)
            except BadAnswerError as bad:
                yield Refused(seat.clinic, bad.reason)
        self._progress(number, len(asked.seats), len(asked.seats))

    def _trained(
        self, seat: Seat, message_id: str, asked: "Asked", sent: Payload, number: int, *, judges: bool
    ) -> Trained:
        """Return a clinic's answer to training. Raises: BadAnswerError."""
        reply = self._answered(message_id, asked)
        names = (protocol.ADAPTER, *(COUNTED if judges else ()))
        answer = self._identified(seat, reply.content, asked, *names)
        judged = self._judged(seat, reply.content, answer) if judges else None
        update = self._update(seat, reply.content, answer, sent, number, judges=judges)
        up_bytes, down_bytes = update.payload.flat.num_bytes, sent.flat.num_bytes
        answer.traffic = Traffic(up_bytes, down_bytes, reply.size_bytes, asked.size_bytes)
        return Trained(update, without_judgement(answer), judged)

    def evaluate(
        self,
        seats: Sequence[Seat],
        state: AdapterState,
        number: int,
        *,
        split: str,
        closing: bool,
        replicates: bool,
    ) -> Iterator[Answer | Refused]:
        """Let all clinics judge the state on one split; yield each one's counts, or why it is left out, in order.

        replicates: with bootstrap replicates, which the closing cannot be without.
        """
        record = {protocol.ADAPTER: to_record(state)}
        asked = self._send(
            seats, protocol.EVALUATE, record, number, split=split, closing=closing, replicates=replicates
        )
        for seat, message_id in zip(asked.seats, asked.message_ids, strict=True):
            try:
                reply = self._answered(message_id, asked)
                answer = self._identified(seat, reply.content, asked, *COUNTED)
                check.check_report(answer.report, protocol.EVALUATE_REPORT)
                answer.counts = self._counts(seat, reply.content, split, closing=closing, replicates=replicates)
                answer.traffic = Traffic(0, state.num_bytes, reply.size_bytes, asked.size_bytes)
                yield answer
            except BadAnswerError as bad:
                yield Refused(seat.clinic, bad.reason)

    def _update(
        self, seat: Seat, content: Content, answer: Answer, sent: Payload, number: int, *, judges: bool
    ) -> AdapterUpdate:
        """Return the update of an answer to training. Raises: BadAnswerError."""
        num_examples = answer.report.get("num_examples")
        check.check_examples(num_examples, seat.registered["train_notes"])
        judgement = protocol.JUDGEMENT_REPORT if judges else ()
        check.check_report(answer.report, (*protocol.TRAIN_REPORT, *judgement))
        run, windows, steps = self._run, seat.registered["train_windows"], answer.report["steps"]
        passes = run.passes_of_round(number)
        check.check_steps(steps, most_steps(run.training, passes, windows))
        flat = to_state(content, run.strategy.schema(sent.adapter.shapes, number).up)
        payload = Payload.of(flat)
        check.check_reach(payload.adapter, sent.adapter, reach(run.training, passes, windows))
        check.check_limits(flat, run.strategy.limits(sent, largest_step(run.training)))
        return AdapterUpdate(seat.clinic, payload.adapter, answer.report["num_examples"], steps, payload.extra)

    def _judged(self, seat: Seat, content: Content, answer: Answer) -> Answer:
        """Return the judgement that comes with an answer to training. Raises: BadAnswerError."""
        judged = judgement_of(answer)
        judged.counts = self._counts(seat, content, "validation", closing=False, replicates=False)
        return judged

    def _counts(self, seat: Seat, content: Content, split: str, *, closing: bool, replicates: bool) -> protocol.Judged:
        """Return the counts of an answer. Raises: BadAnswerError."""
        counts = to_counts(content, self._run.task.counts)
        check.check_counts(
            counts,
            self._run.task,
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
        own: Mapping[str, Mapping[str, str | int]] = MappingProxyType({}),
    ) -> "Asked":
        """Push one question to all clinics, in the order of their names. own: clinic -> what it alone is told."""
        seats = sorted(seats, key=lambda seat: (seat.clinic, seat.node))
        nonce = secrets.token_hex(16)  # who answers with an older one repeats an older answer
        asked = {"round": number, "split": split, "closing": closing, "replicates": replicates}
        asked |= {"wire": WIRE_VERSION, "nonce": nonce}
        contents: list[Content] = [
            {protocol.QUESTION: {**asked, **own.get(seat.clinic, {})}, **content} for seat in seats
        ]
        sent = self.backend.send(kind, contents, [seat.node for seat in seats], group=str(number))
        tensors = content.get(protocol.ADAPTER, {})
        limit_bytes = ENVELOPE_BYTES + sum(len(block.data) for block in tensors.values())
        until = time.monotonic() + self.deadline_s
        return Asked(tuple(seats), sent.message_ids, nonce, until, limit_bytes, sent.size_bytes)

    def _identified(self, seat: Seat, content: Content, asked: "Asked", *names: str) -> Answer:
        """Return a clinic's answer, of whose content only the identity is checked. Raises: BadAnswerError.

        names: of the records beside identity and report.
        """
        answer = to_answer(content, names)
        # A hello's seat has no name yet.
        check.check_identity(answer.identity, clinic=seat.clinic or None, code=self._code, nonce=asked.nonce)
        return answer

    def _answered(self, message_id: str, asked: "Asked") -> Reply:
        """Return the reply to a message, which is waited for. Raises: BadAnswerError."""
        reply = self._reply(message_id, asked)
        assert reply is not None  # it was waited for
        return reply

    def _reply(self, message_id: str, asked: "Asked", *, wait: bool = True) -> Reply | None:
        """Return the reply, None where it has not come yet and is not waited for. Raises: BadAnswerError."""
        if not message_id:  # Flower knows no such node any more
            raise BadAnswerError(GONE)
        started = time.monotonic()
        while True:
            # An answer that came in time is read also after the deadline: a clinic named before may have been silent.
            until = max(asked.until, time.monotonic() + READING_S)
            reply = self.backend.receive(message_id, limit_bytes=asked.limit_bytes, until=until)
            if isinstance(reply, Failed):
                raise BadAnswerError(failure(reply))
            if reply is not None:
                return reply
            if (now := time.monotonic()) > asked.until:
                raise BadAnswerError(Reason.LATE)
            if not wait:
                return None
            shortest_s = SHORTEST_REQUEST_PAUSE_S if self.backend.remote else SHORTEST_PAUSE_S
            pause_s = min(LONGEST_PAUSE_S, max(shortest_s, PAUSE_SHARE * (now - started)))
            time.sleep(min(pause_s, asked.until - now + SHORTEST_PAUSE_S))


@dataclass(frozen=True)
class Asked:
    """A question that is on its way: to whom, and what an answer must obey."""

    seats: tuple[Seat, ...]
    message_ids: tuple[str, ...]  # "": of a node that is not known any more
    nonce: str
    until: float  # monotonic time
    limit_bytes: int  # of an answer, inflated
    size_bytes: int  # of the question
