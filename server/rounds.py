"""The loop over rounds: state to the clinics, updates back, aggregated, evaluated, recorded.

This is the whole of federated learning as clinfed does it; everything that it calls is one file away.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import median

from clinfed import protocol
from clinfed.evaluation.merging import median_score, merged
from clinfed.protocol import Answer, Refused
from clinfed.runs.state import Best, Round, RunState
from clinfed.training.max_update import mean_rate
from configs import Run
from server.admission import Admission
from server.participation import Accepted, parted, quorum, sample_clients
from server.settings import SIMULATED, Limits
from server.wire.asked import ClinicHandle
from server.wire.exchange import GONE, Exchange
from strategies.base import ServerState
from strategies.step import step

LEAST_FOR_MEDIAN = 3  # clinics
MEDIAN = "median over clinics"


def run_rounds(
    exchange: Exchange,
    admission: Admission,
    run: Run,
    run_state: RunState,
    keep: Callable[[RunState], None],
    show: Callable[[Round, ServerState], None],
    limits: Limits = SIMULATED.limits,
) -> RunState:
    """Run the rounds that are left; return where they have led.

    One exchange a round: a clinic evaluates the adapter that it is sent, then trains it. A round's validation comes
    with the next round's updates, and only the last needs an exchange of its own. A round that ends no epoch is not
    validated, except a run's last. keep is called after each round, show with each round and its state as soon as its
    validation is known. limits: what one clinic may do to the result.
    """
    while run_state.server.round < run.rounds and not stops_early(run_state, run):
        run_state = one_round(exchange, admission, run, run_state, show, limits)
        keep(run_state)
    if run_state.open is None:  # open: the round that still waits for its validation
        return run_state
    started = time.perf_counter()
    handles = admission.federation.with_notes("validation")
    validated, silent = validate(exchange, handles, run_state, replicates=True)
    seconds = time.perf_counter() - started
    last = replace(run_state.open, seconds=run_state.open.seconds + seconds, refused=[*run_state.open.refused, *silent])
    last = replace(last, overhead_s=last.overhead_s + seconds - busiest(validated))
    return replace(run_state, open=None, best=closed(last, validated, run_state, show))


def one_round(
    exchange: Exchange,
    admission: Admission,
    run: Run,
    run_state: RunState,
    show: Callable[[Round, ServerState], None],
    limits: Limits,
) -> RunState:
    """Train the global adapter in the clinics of one round, which also evaluate it, and aggregate what comes back."""
    round_index = run_state.server.round + 1
    joined, refused = admission.admit(), admission.take_refused()
    started = time.perf_counter()
    handles, validators = admission.federation.with_notes("train"), admission.federation.with_notes("validation")
    online = admission.online(handles)
    asked = sample_clients(online, run, round_index, of=len(handles))
    refused += [Refused(handle.clinic, GONE) for handle in handles if handle not in online]
    evaluating = validators if is_evaluated(run_state, run) else ()
    sent = run.strategy.broadcast(run_state.server)
    rate = mean_rate(run.training, run.epochs_of_round(round_index))
    updates = Accepted(
        exchange.train(
            asked,
            sent,
            round_index,
            evaluating=evaluating,
            run_key=run_state.run_key,
            accepted=run_state.accepted,
            longest=limits.update_multiple * run_state.usual * rate or math.inf,  # 0: no limit, or no round before
        ),
        least=quorum(run, len(handles)),
        what=f"round {round_index}",
        total_examples=sum(handle.registered["train_notes"] for handle in handles),
        largest_share=limits.largest_share,
        refused=refused,
    )
    server = step(run.strategy, run_state.server, updates)
    aggregate_s = time.perf_counter() - started - updates.waited_s
    best = run_state.best
    validated = updates.validated
    if run_state.open is not None:
        others = [handle for handle in admission.online(evaluating) if handle not in asked]
        more, silent = validate(exchange, others, run_state, replicates=False)
        validated, refused = [*validated, *more], [*refused, *silent]
        best = closed(run_state.open, validated, run_state, show)
    seconds = time.perf_counter() - started
    overhead_s = seconds - busiest([*updates.trained, *validated])
    epochs = run.epochs_of_round(round_index).count
    done = Round(round_index, epochs, updates.trained, [], aggregate_s, seconds, overhead_s, refused, joined)
    done = replace(done, lengths=updates.lengths, shares=updates.shares)
    accepted = {**run_state.accepted, **{answer.clinic: round_index for answer in updates.trained}}
    usual = usual_length(updates.lengths.values()) / rate if rate else 0.0
    return RunState(server, done, best, run_state.run_key, accepted, usual or run_state.usual)


def usual_length(lengths: Iterable[float]) -> float:
    """Return the median of the lengths above 0; 0.0 where no clinic has moved anything, as in a part of an epoch."""
    return median(moved) if (moved := [length for length in lengths if length]) else 0.0


def closed(done: Round, validated: Sequence[Answer], run_state: RunState, show: Callable[..., None]) -> Best | None:
    """Show a round with its validation; return the best round with this one."""
    done = replace(done, validated=in_order(validated))
    show(done, run_state.server)
    score, over = validation_score(done.validated)
    if score is None or (run_state.best and score <= run_state.best.score):
        return run_state.best
    return Best(done.round_index, score, run_state.server.adapter, over)


def is_evaluated(run_state: RunState, run: Run) -> bool:
    """Return whether what the next round starts from is validated: an adapter that was trained, for whole epochs."""
    return run_state.open is not None and run.epochs_of_round(run_state.open.round_index).ends_epoch


def stops_early(run_state: RunState, run: Run) -> bool:
    """Return whether the last rounds whose validation is known, as many as patience says, were no better."""
    if not run.stop.patience or run_state.best is None:
        return False
    validated = (run_state.server.round - 1) // run.rounds_per_epoch
    return validated - run_state.best.round // run.rounds_per_epoch >= run.stop.patience


def validate(
    exchange: Exchange, handles: Sequence[ClinicHandle], run_state: RunState, *, replicates: bool
) -> tuple[list[Answer], list[Refused]]:
    """Let clinics evaluate a state on their validation notes; return their answers and who is left out.

    replicates: of the last state only. Replicates of many rounds would reveal more of single patients.
    """
    if not handles:
        return [], []
    server = run_state.server
    replies = exchange.evaluate(
        handles,
        server.adapter,
        server.round,
        split="validation",
        test_evaluation=False,
        replicates=replicates,
        run_key=run_state.run_key,
    )
    return parted(replies)


def validation_score(validated: Sequence[Answer]) -> tuple[float | None, str]:
    """Return the score that rounds are compared by, and over what it is taken.

    Of three clinics or more the median of their own scores: one of them, whatever it claims, moves that no further
    than to its neighbour. Of fewer the score of the merged counts, for nobody can tell who of two lies. None where
    neither gold nor prediction defines a score: such a round is no best one.
    """
    counts = {answer.clinic: answer.counts[protocol.FEDERATED, protocol.ALL_GOLD] for answer in validated}
    if sum(each.score is not None for each in counts.values()) >= LEAST_FOR_MEDIAN:
        return median_score(counts), MEDIAN
    return (merged(counts).score if counts else None), ""


def in_order(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers in the order of clinic names."""
    return sorted(answers, key=lambda answer: answer.clinic)


def busiest(answers: Iterable[Answer]) -> float:
    """Return the largest sum of training and evaluation seconds of one worker."""
    busy: defaultdict[str, float] = defaultdict(float)
    for answer in answers:
        busy[str(answer.identity["worker"])] += answer.report.get("train_s", 0) + answer.report.get("evaluate_s", 0)
    return max(busy.values(), default=0.0)
