"""The loop over rounds: state to the clinics, updates back, aggregated, judged, recorded.

This is the whole of federated learning as clinfed does it; everything that it calls is one file away.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.evaluation.record import merged
from clinfed.protocol import Answer, Refused
from configs import Run
from server.door import Door
from server.exchange import GONE, Exchange, Seat
from server.turnout import Accepted, drawn, parted, quorum
from strategies.base import ServerState
from strategies.step import step


@dataclass(frozen=True)
class Round:
    """What happened in one round."""

    number: int  # from 1
    passes: float  # over each clinic's training notes
    trained: list[Answer]  # in the order of clinic names
    validated: list[Answer]  # judgements of the adapter that came out
    aggregate_s: float = 0.0
    seconds: float = 0.0  # wall clock
    overhead_s: float = 0.0  # beyond the busiest worker: what the exchange and the aggregation cost
    refused: list[Refused] = field(default_factory=list)  # left out of one of the round's exchanges
    joined: Sequence[str] = ()  # clinics that have come, or come again, since the round before


@dataclass(frozen=True)
class Best:
    """The adapter with the best validation so far; of equal ones the first. score: the task's, more being better."""

    round: int
    score: float
    adapter: AdapterState


@dataclass(frozen=True)
class Course:
    """All that goes from one round to the next, and so all that an interrupted run needs to go on.

    server: after the last round. open: that round, until the next one's answers have brought its validation, if any.
    run_key: names the run to the clinics, which keep their states under it; drawn once, and kept when it is resumed.
    accepted: clinic -> the round of its last update that went into the server's state: the clinic's next round begins
    with the state that it wrote then.
    Every random choice follows from the run's seed, a number of round or epoch and the name of a clinic: there is no
    generator whose state must be kept.
    """

    server: ServerState
    open: Round | None = None
    best: Best | None = None
    run_key: str = ""
    accepted: Mapping[str, int] = field(default_factory=dict)


def run_rounds(
    exchange: Exchange,
    door: Door,
    run: Run,
    course: Course,
    keep: Callable[[Course], None],
    show: Callable[[Round, ServerState], None],
) -> Course:
    """Run the rounds that are left; return where they have led.

    One exchange a round: a clinic judges the adapter that it is sent, then trains it. A round's validation thus comes
    with the next round's updates, and only the last needs an exchange of its own. Of the rounds of one epoch only the
    last is validated, and a run's last round. keep is called after each round, show with each round and its state as
    soon as its validation is known.
    """
    while course.server.round < run.rounds and not stops_early(course, run):
        course = one_round(exchange, door, run, course, show)
        keep(course)
    if course.open is None:
        return course
    started = time.perf_counter()
    seats = door.federation.with_notes("validation")
    validated, silent = validate(exchange, seats, course.server, replicates=True)
    seconds = time.perf_counter() - started
    last = replace(course.open, seconds=course.open.seconds + seconds, refused=[*course.open.refused, *silent])
    last = replace(last, overhead_s=last.overhead_s + seconds - busiest(validated))
    return replace(course, open=None, best=closed(last, validated, course, show))


def one_round(
    exchange: Exchange, door: Door, run: Run, course: Course, show: Callable[[Round, ServerState], None]
) -> Course:
    """Train the global adapter in the clinics of one round, which also judge it, and aggregate what comes back."""
    number = course.server.round + 1
    joined, refused = door.admit(), door.take_refused()
    started = time.perf_counter()
    seats, validators = door.federation.with_notes("train"), door.federation.with_notes("validation")
    online = door.online(seats)
    asked = drawn(online, run, number, of=len(seats))
    refused += [Refused(seat.clinic, GONE) for seat in seats if seat not in online]
    judging = validators if is_judged(course, run) else ()
    sent = run.strategy.broadcast(course.server)
    updates = Accepted(
        exchange.train(asked, sent, number, judging=judging, run_key=course.run_key, accepted=course.accepted),
        least=quorum(run, len(seats)),
        what=f"round {number}",
        total_examples=sum(seat.registered["train_notes"] for seat in seats),
        refused=refused,
    )
    server = step(run.strategy, course.server, updates)
    aggregate_s = time.perf_counter() - started - updates.waited_s
    best = course.best
    validated = updates.validated
    if course.open is not None:
        others = [seat for seat in door.online(judging) if seat not in asked]
        more, silent = validate(exchange, others, course.server, replicates=False)
        validated, refused = [*validated, *more], [*refused, *silent]
        best = closed(course.open, validated, course, show)
    seconds = time.perf_counter() - started
    overhead_s = seconds - busiest([*updates.trained, *validated])
    passes = run.passes_of_round(number).count
    done = Round(number, passes, updates.trained, [], aggregate_s, seconds, overhead_s, refused, joined)
    accepted = {**course.accepted, **{answer.clinic: number for answer in updates.trained}}
    return Course(server, done, best, course.run_key, accepted)


def closed(done: Round, validated: Sequence[Answer], course: Course, show: Callable[..., None]) -> Best | None:
    """Show a round with its validation; return the best round with this one."""
    done = replace(done, validated=in_order(validated))
    show(done, course.server)
    score = validation_score(done.validated)
    if score is None or (course.best and score <= course.best.score):
        return course.best
    return Best(done.number, score, course.server.adapter)


def is_judged(course: Course, run: Run) -> bool:
    """Return whether what the next round starts from is validated: an adapter that was trained, for whole epochs."""
    return course.open is not None and run.passes_of_round(course.open.number).ends_epoch


def stops_early(course: Course, run: Run) -> bool:
    """Return whether the last rounds whose validation is known, as many as patience says, were no better."""
    if not run.stop.patience or course.best is None:
        return False
    validated = (course.server.round - 1) // run.rounds_per_epoch
    return validated - course.best.round // run.rounds_per_epoch >= run.stop.patience


def validate(
    exchange: Exchange, seats: Sequence[Seat], server: ServerState, *, replicates: bool
) -> tuple[list[Answer], list[Refused]]:
    """Let clinics judge a state on their validation notes, without training; return their answers and who is left out.

    replicates: of the last state only; from those of many rounds more could be told of a patient than from one's.
    """
    if not seats:
        return [], []
    asked = {"split": "validation", "closing": False, "replicates": replicates}
    return parted(exchange.evaluate(seats, server.adapter, server.round, **asked))


def validation_score(validated: Sequence[Answer]) -> float | None:
    """Return the score of the merged counts of all clinics that have judged; None where none has.

    None also where it is undefined, without gold and without prediction: such a round is no best one.
    """
    counts = {answer.clinic: answer.counts[protocol.FEDERATED, protocol.ALL_GOLD] for answer in validated}
    return merged(counts).score if counts else None


def in_order(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers in the order of clinic names."""
    return sorted(answers, key=lambda answer: answer.clinic)


def busiest(answers: Iterable[Answer]) -> float:
    """Return the largest sum of training and evaluation seconds of one worker."""
    busy: defaultdict[str, float] = defaultdict(float)
    for answer in answers:
        busy[str(answer.identity["worker"])] += answer.report.get("train_s", 0) + answer.report.get("evaluate_s", 0)
    return max(busy.values(), default=0.0)
