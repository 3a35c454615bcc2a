"""What a run is while it goes on: the rounds so far, the best one, and all that the next one needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clinfed.adapters.state import AdapterState
from clinfed.protocol import Answer, Refused
from strategies.base import ServerState


@dataclass(frozen=True)
class Round:
    """What happened in one round."""

    round_index: int  # from 1
    epochs: float  # over each clinic's training notes
    trained: list[Answer]  # in the order of clinic names
    validated: list[Answer]  # evaluations of the adapter that came out
    aggregate_s: float = 0.0
    seconds: float = 0.0  # wall clock
    overhead_s: float = 0.0  # beyond the busiest worker: what the exchange and the aggregation cost
    refused: list[Refused] = field(default_factory=list)  # left out of one of the round's exchanges
    joined: Sequence[str] = ()  # clinics that have come, or come again, since the round before
    lengths: Mapping[str, float] = field(default_factory=dict)  # clinic -> how far its training moved the adapter
    shares: Mapping[str, float] = field(default_factory=dict)  # clinic -> of the weight, where shares are capped


@dataclass(frozen=True)
class Best:
    """The adapter with the best validation so far; of equal ones the first. score: the task's, more being better.

    over: of what, where that is not all clinics' merged counts.
    """

    round: int
    score: float
    adapter: AdapterState
    over: str = ""


@dataclass(frozen=True)
class RunState:
    """All that goes from one round to the next, and so all that an interrupted run needs to go on.

    server: after the last round. open: that round, until the next one's answers have brought its validation, if any.
    run_key: names the run to the clinics, which keep their states under it; drawn once, and kept when it is resumed.
    accepted: clinic -> the round of its last update that went into the server's state: the clinic's next round begins
    with the state that it wrote then. usual: median length of the last round's updates, per unit of learning rate; 0:
    none is known.
    Every random choice follows from the run's seed, a number of round or epoch and the name of a clinic: there is no
    generator whose state must be kept.
    """

    server: ServerState
    open: Round | None = None
    best: Best | None = None
    run_key: str = ""
    accepted: Mapping[str, int] = field(default_factory=dict)
    usual: float = 0.0
