"""The loop over rounds: state to the clinics, updates back, aggregated, judged, recorded.

This is the whole of federated learning as clinfed does it; everything that it calls is one file away.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from clinfed.adapters.update import AdapterUpdate
from clinfed.protocol import Answer
from configs import Run
from server.exchange import Exchange
from server.federation import Federation
from strategies.base import ServerState


@dataclass(frozen=True)
class Round:
    """What happened in one round."""

    number: int  # from 1
    trained: list[Answer]  # in the order of clinic names
    validated: list[Answer]
    aggregate_s: float
    seconds: float  # wall clock

    @property
    def overhead_s(self) -> float:
        """Return the seconds beyond those of the busiest worker: what the exchange and the aggregation cost."""
        busy: defaultdict[str, float] = defaultdict(float)
        for answer in (*self.trained, *self.validated):
            busy[str(answer.identity["worker"])] += answer.report.get("train_s", 0) + answer.report.get("evaluate_s", 0)
        return self.seconds - max(busy.values())


def run_rounds(
    exchange: Exchange,
    federation: Federation,
    run: Run,
    server: ServerState,
    keep: Callable[[ServerState, Round], None],
) -> ServerState:
    """Run the rounds that are left; call keep after each; return the last state.

    The server's state knows how many rounds it has seen, so that a run may go on from a kept one.
    """
    for number in range(server.round + 1, run.rounds + 1):
        started = time.perf_counter()
        trained: list[Answer] = []
        updates = Waiting(exchange.train(federation.with_notes("train"), server.adapter, number, trained))
        server = run.strategy.aggregate(server, updates)
        aggregate_s = time.perf_counter() - started - updates.waited_s
        validated = exchange.evaluate(
            federation.with_notes("validation"), server.adapter, number, split="validation", closing=False
        )
        keep(server, Round(number, trained, validated, aggregate_s, time.perf_counter() - started))
    return server


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
