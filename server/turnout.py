"""Who trains in a round, and how many answers make it one."""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import Refused
from configs import Run
from server.exchange import Seat
from server.quarantine import Reason

DIVERGED = (Reason.DIVERGED, Reason.NOT_FINITE)


def drawn(online: Sequence[Seat], run: Run, number: int, *, of: int) -> list[Seat]:
    """Return the clinics that train in a round: those whose names hash lowest with the run's seed and the round.

    of: how many hold training notes, online or not. Who else takes part does not move a clinic's own number.
    """
    wanted = round_up(run.round.fraction * of)
    return sorted(online, key=lambda seat: lot(run.seed, number, seat.clinic))[:wanted]


def lot(seed: int, number: int, clinic: str) -> str:
    """Return a clinic's lot in a round."""
    return hashlib.sha256(f"{seed} {number} {clinic}".encode()).hexdigest()


def quorum(run: Run, clinics: int) -> int:
    """Return how many accepted answers a round needs, of so many clinics with training notes."""
    return max(1, round_up(run.round.quorum * round_up(run.round.fraction * clinics)))


def round_up(number: float) -> int:
    """Return the next whole number; 0.07 * 100, which is a little more than 7, gives 7."""
    return math.ceil(number - 1e-9)


@dataclass
class Accepted:
    """Passes updates on, adds up the seconds that were spent waiting for them, and ends the run where they are too few.

    Raises: UserError, after the last of less than `least` updates, that says why each clinic was left out.
    """

    updates: Iterable[AdapterUpdate]
    least: int
    refused: Sequence[Refused]
    what: str
    waited_s: float = 0.0

    def __iter__(self) -> Iterator[AdapterUpdate]:
        source, count = iter(self.updates), 0
        while True:
            started = time.perf_counter()
            update = next(source, None)
            self.waited_s += time.perf_counter() - started
            if update is None:
                break
            count += 1
            yield update
        require(count, self.least, self.refused, self.what)


def require(count: int, least: int, refused: Sequence[Refused], what: str) -> None:
    """Raise UserError unless enough clinics have answered."""
    if count < least:
        reasons = "; ".join(f"clinic {each.clinic}: {each.reason}" for each in refused)
        remedy = "; lower training.learning_rate" if any(each.reason in DIVERGED for each in refused) else ""
        raise UserError(f"{what}: {count} clinics gave an accepted answer, the quorum is {least}: {reasons}{remedy}")
