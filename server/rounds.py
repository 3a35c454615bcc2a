"""The loop over rounds: state to the clinics, updates back, aggregated, judged, recorded.

This is the whole of federated learning as clinfed does it; everything that it calls is one file away.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from clinfed.adapters.update import AdapterUpdate
from clinfed.protocol import Answer, Refused
from configs import Run
from server.exchange import Exchange, Seat
from server.federation import Federation
from strategies.base import ServerState


@dataclass(frozen=True)
class Round:
    """What happened in one round."""

    number: int  # from 1
    trained: list[Answer]  # in the order of clinic names
    validated: list[Answer]  # judgements of the adapter that came out
    aggregate_s: float
    seconds: float  # wall clock
    overhead_s: float = 0.0  # beyond the busiest worker: what the exchange and the aggregation cost
    refused: list[Refused] = field(default_factory=list)  # left out of its training, or of its judgement


def run_rounds(
    exchange: Exchange,
    federation: Federation,
    run: Run,
    server: ServerState,
    keep: Callable[[ServerState], None],
    show: Callable[[Round], None],
) -> ServerState:
    """Run the rounds that are left; return the last state.

    One exchange a round: a clinic judges the adapter that it is sent, then trains it. A round's validation thus comes
    with the next round's updates, and only the last needs an exchange of its own. keep is called with each new state
    at once, show with each round as soon as its validation is known. The server's state knows how many rounds it has
    seen, so that a run may go on from a kept one.
    """
    shown: Round | None = None  # the last round, until its validation is known
    trainers, validators = federation.with_notes("train"), federation.with_notes("validation")
    others = tuple(seat for seat in validators if seat not in trainers)
    for number in range(server.round + 1, run.rounds + 1):
        started = time.perf_counter()
        trained: list[Answer] = []
        validated: list[Answer] = []
        refused: list[Refused] = []
        judging = () if shown is None else validators  # what the first round is sent was never trained
        updates = Waiting(
            exchange.train(trainers, server.adapter, number, trained, validated, refused, judging=judging)
        )
        before, server = server, run.strategy.aggregate(server, updates)
        aggregate_s = time.perf_counter() - started - updates.waited_s
        keep(server)
        if shown is not None:
            validated += validate(exchange, others, before, shown.refused)
            show(replace(shown, validated=in_order(validated)))
        seconds = time.perf_counter() - started
        overhead_s = seconds - busiest([*trained, *validated])
        shown = Round(number, trained, [], aggregate_s, seconds, overhead_s, refused)
    if shown is not None:
        started = time.perf_counter()
        validated = validate(exchange, validators, server, shown.refused)
        seconds = time.perf_counter() - started
        overhead_s = shown.overhead_s + seconds - busiest(validated)
        show(replace(shown, validated=validated, seconds=shown.seconds + seconds, overhead_s=overhead_s))
    return server


def validate(exchange: Exchange, seats: Sequence[Seat], server: ServerState, refused: list[Refused]) -> list[Answer]:
    """Let clinics judge a state on their validation notes, without training; refused gets those left out."""
    if not seats:
        return []
    return exchange.evaluate(seats, server.adapter, server.round, refused, split="validation", closing=False)


def in_order(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers in the order of clinic names."""
    return sorted(answers, key=lambda answer: answer.clinic)


def busiest(answers: Iterable[Answer]) -> float:
    """Return the largest sum of training and evaluation seconds of one worker."""
    busy: defaultdict[str, float] = defaultdict(float)
    for answer in answers:
        busy[str(answer.identity["worker"])] += answer.report.get("train_s", 0) + answer.report.get("evaluate_s", 0)
    return max(busy.values(), default=0.0)


@dataclass
class Waiting:
    """Passes updates on and adds up the seconds that were spent waiting for them."""

    updates: Iterable[AdapterUpdate]
    waited_s: float = field(default=0.0)

    def __iter__(self) -> Iterator[AdapterUpdate]:
        source = iter(self.updates)
        while True:
            started = time.perf_counter()
            update = next(source, None)
            self.waited_s += time.perf_counter() - started
            if update is None:
                return
            yield update
