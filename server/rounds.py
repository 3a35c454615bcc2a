"""The loop over rounds: state to the clinics, updates back, aggregated, judged, recorded.

This is the whole of federated learning as clinfed does it; everything that it calls is one file away.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from clinfed import protocol
from clinfed.evaluation.merging import merged
from clinfed.protocol import Answer, Refused
from clinfed.runs.state import Best, Course, Round
from configs import Run
from server.admission import Door
from server.participation import Accepted, drawn, parted, quorum
from server.wire.exchange import GONE, Exchange, Seat
from strategies.base import ServerState
from strategies.step import step


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
