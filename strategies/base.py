"""Strategy: the plug-in class of `strategy=NAME`; each option is one module of this folder.

A strategy is a start and one pure step on a small server state. To add one, write strategies/NAME.py with one
subclass; the contract tests in tests/strategies find it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate


@dataclass(frozen=True)
class ServerState:
    """All that the server carries from one round to the next: what a checkpoint holds.

    adapter: the global adapter and head. memory: a strategy's own tensors by name (moments), {} if it has none.
    round: how many rounds have been aggregated.
    """

    adapter: AdapterState
    memory: dict[str, AdapterState] = field(default_factory=dict)
    round: int = 0


@dataclass
class Strategy:
    """How the clinics' updates become the next global adapter. Pure: arguments are never changed."""

    # Class attributes, not settings: a subclass that has such a setting declares it as a field.
    proximal_mu = 0.0  # the clinics' loss adds proximal_mu/2 * ||w - w_global||^2 over the trainable parameters
    own_rows = False  # clinics send the head's rows of tags that their training notes do not hold back as they got them
    averages = False  # True promises that a single update becomes the next global adapter, bit for bit

    def start(self, adapter: AdapterState) -> ServerState:
        """Return the state before the first round."""
        return ServerState(adapter)

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the next server state from one round's updates, read once and in the given order.

        The caller sorts by clinic name: the order of float64 sums is then the same in every run.
        Raises: ValueError that names the clinic, for an update that does not fit or is not finite.
        """
        raise NotImplementedError
