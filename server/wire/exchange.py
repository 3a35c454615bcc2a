"""Questions to the clinics and their answers: plain records <-> AdapterUpdate, with every claim checked.

Answers are read one clinic at a time, in the order of clinic names, whatever order they arrive in: sums are then the
same in every run, and the server never holds more than one clinic's tensors. An answer that breaks a rule
(server/wire/check.py) is left out and its clinic named; the exchange goes on with the others.
"""

import logging
import math
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState, Shapes
from clinfed.adapters.update import AdapterUpdate, Payload
from clinfed.protocol import Answer, BadAnswerError, Reason, Refused, Traffic
from clinfed.runs.backend import Backend, Content, Failed, Reply
from clinfed.training.max_update import largest_step, max_update, most_steps
from clinfed.training.schedules import Epochs
from configs import Run
from server.wire import check
from server.wire.asked import Asked, ClinicHandle, Trained
from server.wire.decode import (
    evaluation_of,
    failure,
    to_answer,
    to_counts,
    to_record,
    to_state,
    without_evaluation,
)
from server.wire.hello import check_hello
from server.wire.signed import check_signature
from strategies.base import Limits

if TYPE_CHECKING:
    from clinfed.signatures import Keys

# A five-hundredth of the time already waited, inside these limits.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_SHARE = 0.02, 1.0, 0.002
# Where each look is a request: fifty of them a second keep the SuperLink busy for half of a core.
SHORTEST_REQUEST_PAUSE_S = 0.25
GONE = "its SuperNode is not connected"
READING_S = 60.0  # to fetch one answer that is there
# Of an answer beside its tensors: counts of 29,000 codes in two languages with replicates take 12 MB.
ENVELOPE_BYTES = 32 * 2**20

COUNTED = (protocol.COUNTS, protocol.COUNT_NAMES)  # the records of an evaluation

log = logging.getLogger("clinfed.wire")


@contextmanager
def reading(clinic: str) -> Iterator[None]:
    """Make whatever reading one clinic's answer raises a fault of that answer: it must not end the run.

    The log names the exception's class and the line of code, for it may be a bug of ours; never its text, which may
    hold what came over the wire.
    """
    try:
        yield
    except BadAnswerError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "nowhere"
        log.warning("clinic %s: its answer raised %s at %s", clinic or "(hello)", type(error).__name__, place)
        raise BadAnswerError(Reason.MALFORMED) from None


@dataclass(frozen=True)
class Rules:
    """What each update of a round must obey.

    sent: what it starts from. schema, limits: of the strategy. longest: that it may be, by the coordinator's settings.
    """

    sent: Payload
    schema: Shapes
    limits: Limits
    epochs: Epochs
    longest: float


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
        keys: "Keys" = MappingProxyType({}),
        progress: Callable[[int, int, int], None] = lambda round_index, answers, clinics: None,
    ) -> None:
        """deadline_s: for all answers of one question; may be set anew between two questions.

        keys: of the registered sites, which sign their answers; none in a simulation or a trial.
        progress: called in training with the round, how many answers have come, and how many clinics were asked.
        """
        self.backend = backend
        self._run = run
        self._codes = frozenset(codes)  # all that a real site may name in its counts
        self._code = code
        self._keys = keys
        self.deadline_s = deadline_s
        self._progress = progress

    def ask_hello(self, nodes: Sequence[int]) -> Asked:
        """Send a hello to nodes whose clinics are not known yet; returns what to read the answers by."""
        return self._send([ClinicHandle("", node) for node in nodes], protocol.HELLO, {}, 0)

    def read_hello(self, asked: Asked, *, wait: bool = True) -> Iterator[tuple[int, Answer | Refused]]:
        """Yield each node with its answer, or with why there is none; without wait, of those that have come.

        An answer is read once. A node that is silent until the deadline is yielded with that as its reason.
        """
        for handle, message_id in zip(asked.handles, asked.message_ids, strict=True):
            try:
                if (reply := self._reply(message_id, asked, wait=wait)) is not None:
                    with reading(handle.clinic):
                        answer = self._identified(handle, reply.content, asked)
                        check_hello(answer)
                    yield handle.node, answer
            except BadAnswerError as bad:
                yield handle.node, Refused(bad.clinic, bad.reason)

    def train(
        self,
        handles: Sequence[ClinicHandle],
        sent: Payload,
        round_index: int,
        *,
        evaluating: Sequence[ClinicHandle] = (),
        run_key: str = "",
        accepted: Mapping[str, int] = MappingProxyType({}),
        longest: float = math.inf,
    ) -> Iterator[Trained | Refused]:
        """Send the payload to all clinics; yield what each has sent, or why it is left out, in order.

        evaluating: the clinics that first evaluate the adapter on their validation notes. run_key, accepted: whose and
        which state a clinic takes up, as in clinfed.runs.state.RunState. longest: that an update may be.
        """
        record = {protocol.ADAPTER: to_record(sent.flat)}
        own: dict[str, dict[str, str | int]] = {
            handle.clinic: {protocol.RUN_KEY: run_key, protocol.STATE_ROUND: accepted.get(handle.clinic, 0)}
            for handle in handles
        }
        asked = self._send(
            handles, protocol.TRAIN, record, round_index, split="validation" if evaluating else "", own=own
        )
        rules = self._rules(sent, round_index, longest)
        for answers, (handle, message_id) in enumerate(zip(asked.handles, asked.message_ids, strict=True)):
            self._progress(round_index, answers, len(asked.handles))
            try:
                reply = self._answered(message_id, asked)
                with reading(handle.clinic):
                    trained = self._trained(handle, reply, asked, rules, evaluates=handle in evaluating)
                del reply
                yield trained
                del trained  # before the next one is fetched: one clinic's tensors at a time
            except BadAnswerError as bad:
                yield Refused(handle.clinic, bad.reason)
        self._progress(round_index, len(asked.handles), len(asked.handles))

    def _rules(self, sent: Payload, round_index: int, longest: float) -> Rules:
        """Return what each update of a round must obey, worked out before any answer is read."""
        strategy = self._run.strategy
        return Rules(
            sent,
            strategy.schema(sent.adapter.shapes, round_index).up,
            strategy.limits(sent, largest_step(self._run.training)),
            self._run.epochs_of_round(round_index),
            longest,
        )

    def _trained(self, handle: ClinicHandle, reply: Reply, asked: Asked, rules: Rules, *, evaluates: bool) -> Trained:
        """Return a clinic's answer to training. Raises: BadAnswerError."""
        names = (protocol.ADAPTER, *(COUNTED if evaluates else ()))
        answer = self._identified(handle, reply.content, asked, *names)
        evaluated = self._evaluated(handle, reply.content, answer) if evaluates else None
        update = self._update(handle, reply.content, answer, rules, evaluates=evaluates)
        length = check.length_of(update.state, rules.sent.adapter)
        check.check_length(length, rules.longest)
        up_bytes, down_bytes = update.payload.flat.num_bytes, rules.sent.flat.num_bytes
        answer.traffic = Traffic(up_bytes, down_bytes, reply.size_bytes, asked.size_bytes)
        return Trained(update, without_evaluation(answer), evaluated, length)

    def evaluate(
        self,
        handles: Sequence[ClinicHandle],
        state: AdapterState,
        round_index: int,
        *,
        split: str,
        test_evaluation: bool,
        replicates: bool,
        run_key: str,
    ) -> Iterator[Answer | Refused]:
        """Let all clinics evaluate the state on one split; yield each one's counts, or why it is left out, in order.

        replicates: with bootstrap replicates, which the test evaluation cannot be without. run_key: as in `train`.
        """
        record = {protocol.ADAPTER: to_record(state)}
        asked = self._send(
            handles,
            protocol.EVALUATE,
            record,
            round_index,
            split=split,
            test_evaluation=test_evaluation,
            replicates=replicates,
            own={handle.clinic: {protocol.RUN_KEY: run_key} for handle in handles},
        )
        for handle, message_id in zip(asked.handles, asked.message_ids, strict=True):
            try:
                reply = self._answered(message_id, asked)
                with reading(handle.clinic):
                    answer = self._identified(handle, reply.content, asked, *COUNTED)
                    check.check_report(answer.report, protocol.EVALUATE_REPORT)
                    answer.counts = self._counts(
                        handle, reply.content, split, test_evaluation=test_evaluation, replicates=replicates
                    )
                answer.traffic = Traffic(0, state.num_bytes, reply.size_bytes, asked.size_bytes)
                yield answer
            except BadAnswerError as bad:
                yield Refused(handle.clinic, bad.reason)

    def _update(
        self, handle: ClinicHandle, content: Content, answer: Answer, rules: Rules, *, evaluates: bool
    ) -> AdapterUpdate:
        """Return the update of an answer to training. Raises: BadAnswerError."""
        num_examples = answer.report.get("num_examples")
        check.check_examples(num_examples, handle.registered["train_notes"])
        evaluation = protocol.EVALUATION_REPORT_PART if evaluates else ()
        check.check_report(answer.report, (*protocol.TRAIN_REPORT, *evaluation))
        training, windows, steps = self._run.training, handle.registered["train_windows"], answer.report["steps"]
        check.check_steps(steps, most_steps(training, rules.epochs, windows))
        flat = to_state(content, rules.schema)
        payload = Payload.of(flat)
        check.check_max_update(payload.adapter, rules.sent.adapter, max_update(training, rules.epochs, windows))
        check.check_limits(flat, rules.limits)
        return AdapterUpdate(handle.clinic, payload.adapter, answer.report["num_examples"], steps, payload.extra)

    def _evaluated(self, handle: ClinicHandle, content: Content, answer: Answer) -> Answer:
        """Return the evaluation that comes with an answer to training. Raises: BadAnswerError."""
        evaluated = evaluation_of(answer)
        evaluated.counts = self._counts(handle, content, "validation", test_evaluation=False, replicates=False)
        return evaluated

    def _counts(
        self, handle: ClinicHandle, content: Content, split: str, *, test_evaluation: bool, replicates: bool
    ) -> protocol.Evaluated:
        """Return the counts of an answer. Raises: BadAnswerError."""
        counts = to_counts(content, self._run.task.counts)
        check.check_counts(
            counts,
            self._run.task,
            split=split,
            test_evaluation=test_evaluation,
            replicates=replicates,
            registered=handle.registered,
            shared=self._codes,
        )
        return counts

    def _send(
        self,
        handles: Sequence[ClinicHandle],
        kind: str,
        content: Mapping[str, Any],
        round_index: int,
        *,
        split: str = "",
        test_evaluation: bool = False,
        replicates: bool = False,
        own: Mapping[str, Mapping[str, str | int]] = MappingProxyType({}),
    ) -> Asked:
        """Push one question to all clinics, in the order of their names. own: clinic -> what it alone is told."""
        handles = sorted(handles, key=lambda handle: (handle.clinic, handle.node))
        nonce = secrets.token_hex(16)  # who answers with an older one repeats an older answer
        asked = {"round": round_index, "split": split, "test_evaluation": test_evaluation, "replicates": replicates}
        asked |= {"wire": WIRE_VERSION, "nonce": nonce}
        questions = tuple({**asked, **own.get(handle.clinic, {})} for handle in handles)
        contents: list[Content] = [{protocol.QUESTION: question, **content} for question in questions]
        sent = self.backend.send(kind, contents, [handle.node for handle in handles], group=str(round_index))
        tensors = content.get(protocol.ADAPTER, {})
        limit_bytes = ENVELOPE_BYTES + sum(len(block.data) for block in tensors.values())
        until = time.monotonic() + self.deadline_s
        return Asked(tuple(handles), sent.message_ids, nonce, until, limit_bytes, sent.size_bytes, kind, questions)

    def _identified(self, handle: ClinicHandle, content: Content, asked: Asked, *names: str) -> Answer:
        """Return a clinic's answer, of whose content only signature and identity are checked. Raises: BadAnswerError.

        names: of the records beside identity and report.
        """
        question = asked.questions[asked.handles.index(handle)]
        content = check_signature(content, self._keys, kind=asked.kind, question=question)
        answer = to_answer(content, names)
        # A hello's handle has no name yet.
        check.check_identity(answer.identity, clinic=handle.clinic or None, code=self._code, nonce=asked.nonce)
        return answer

    def _answered(self, message_id: str, asked: Asked) -> Reply:
        """Return the reply to a message, which is waited for. Raises: BadAnswerError."""
        reply = self._reply(message_id, asked)
        assert reply is not None  # it was waited for
        return reply

    def _reply(self, message_id: str, asked: Asked, *, wait: bool = True) -> Reply | None:
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
