"""Who trains in a round, and how many answers make it one."""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import Answer, Reason, Refused
from configs import Run
from server.wire.asked import ClinicHandle, Trained

DIVERGED = (Reason.DIVERGED, Reason.NOT_FINITE)


def sample_clients(online: Sequence[ClinicHandle], run: Run, round_index: int, *, of: int) -> list[ClinicHandle]:
    """Return the clinics that train in a round: those whose names hash lowest with the run's seed and the round.

    of: how many hold training notes, online or not. Who else takes part does not move a clinic's own number.
    """
    wanted = round_up(run.round.fraction * of)
    return sorted(online, key=lambda handle: rank(run.seed, round_index, handle.clinic))[:wanted]


def rank(seed: int, round_index: int, clinic: str) -> str:
    """Return what a clinic is ranked by in a round."""
    return hashlib.sha256(f"{seed} {round_index} {clinic}".encode()).hexdigest()


def quorum(run: Run, clinics: int) -> int:
    """Return how many accepted answers a round needs, of so many clinics with training notes."""
    return max(1, round_up(run.round.quorum * round_up(run.round.fraction * clinics)))


def round_up(number: float) -> int:
    """Return the next whole number; 0.07 * 100, which is a little more than 7, gives 7."""
    return math.ceil(number - 1e-9)


@dataclass
class Accepted:
    """Passes one round's updates on, keeps what else each clinic has sent, and ends the run where they are too few.

    total_examples: training notes of all clinics; each update is told. refused: those that are left out, also before.
    largest_share: of the weight that one clinic may have. Below 1 all updates are held until the last has come, since a
    share depends on who else has answered.
    Raises: UserError, after the last of less than `least` updates, that says why each clinic was left out.
    """

    replies: Iterator[Trained | Refused]
    least: int
    what: str
    total_examples: int = 0
    largest_share: float = 1.0
    refused: list[Refused] = field(default_factory=list)
    trained: list[Answer] = field(default_factory=list)
    validated: list[Answer] = field(default_factory=list)
    lengths: dict[str, float] = field(default_factory=dict)  # clinic -> how far it has moved the adapter
    shares: dict[str, float] = field(default_factory=dict)  # clinic -> of the weight; empty where it is not capped
    waited_s: float = 0.0  # for the replies

    def __iter__(self) -> Iterator[AdapterUpdate]:
        if self.largest_share < 1:
            yield from self._capped()
        else:
            while (update := self._next()) is not None:
                yield update
                del update  # before the next one is fetched: one clinic's tensors at a time
        require(len(self.trained), self.least, self.refused, self.what)

    def _capped(self) -> Iterator[AdapterUpdate]:
        """Yield all updates with weights of which none is larger than its share."""
        updates = list(iter(self._next, None))
        weights, scale = capped_weights([update.num_examples for update in updates], self.largest_share)
        for update, weight in zip(updates, weights, strict=True):
            self.shares[update.clinic] = weight / sum(weights)
            # Only proportions count, and whole numbers keep them exact.
            yield replace(update, num_examples=weight, total_examples=update.total_examples * scale)

    def _next(self) -> AdapterUpdate | None:
        """Return the next update that can be used, None after the last."""
        started = time.perf_counter()
        for reply in self.replies:
            if isinstance(reply, Refused):
                self.refused.append(reply)
                continue
            self.trained.append(reply.answer)
            self.lengths[reply.answer.clinic] = reply.length
            self.validated += [reply.validated] if reply.validated else []
            self.waited_s += time.perf_counter() - started
            return replace(reply.update, total_examples=self.total_examples)
        self.waited_s += time.perf_counter() - started
        return None


def capped_weights(examples: Sequence[int], largest_share: float) -> tuple[list[int], int]:
    """Return weights in the proportions of the examples, but none above the share; and what one example weighs.

    Who is above it gets exactly the share, the others keep their proportions. Where so few clinics cannot add up to 1,
    all weigh the same.
    """
    share = Fraction(str(largest_share)).limit_denominator(10**6)
    if share * len(examples) <= 1:
        return [1] * len(examples), 1
    ordered = sorted(examples, reverse=True)
    if ordered[0] <= share * sum(ordered):
        return list(examples), 1
    capped, cap = 0, Fraction(0)
    while capped == 0 or ordered[capped] > cap:  # the share is of all weights, so that a cap may reach the next one
        capped += 1
        cap = share * sum(ordered[capped:]) / (1 - share * capped)
    scale = cap.denominator
    return [int(min(Fraction(each), cap) * scale) for each in examples], scale


def require(count: int, least: int, refused: Sequence[Refused], what: str) -> None:
    """Raise UserError unless enough clinics have answered."""
    if count < least:
        reasons = "; ".join(f"clinic {each.clinic}: {each.reason}" for each in refused)
        remedy = "; lower training.learning_rate" if any(each.reason in DIVERGED for each in refused) else ""
        raise UserError(f"{what}: {count} clinics gave an accepted answer, the quorum is {least}: {reasons}{remedy}")


def parted(replies: Iterable[Answer | Refused]) -> tuple[list[Answer], list[Refused]]:
    """Return the answers, and who is left out."""
    answers: list[Answer] = []
    refused: list[Refused] = []
    for reply in replies:
        if isinstance(reply, Refused):
            refused.append(reply)
        else:
            answers.append(reply)
    return answers, refused
