"""Median: of each number the median over the clinics, so that a minority that sends nonsense moves nothing far."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.average import NO_NOTES, cast_like, check
from strategies.base import ServerState, Strategy


@dataclass(frozen=True)
class Median(Strategy):
    """w = the coordinate-wise median of the clinics' w_k, unweighted; of an even number the mean of the middle two.

    Every clinic has one vote, whatever its notes, and with two clinics it is their plain mean. The server holds all of
    a round's updates at once.
    Source: Yin et al. 2018, Byzantine-Robust Distributed Learning, Definition 1 and Algorithm 1; there of gradients.
    """

    streaming = False
    averages = True

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the state whose adapter is the median of the updates; what did not train stays."""
        trained = self.trained(server.adapter, server.round + 1)
        gathered = list(updates)
        for update in gathered:
            check(trained, update)
        if not sum(update.num_examples for update in gathered):
            raise ValueError(NO_NOTES)
        middle = {
            name: np.median([update.state[name].astype(np.float64) for update in gathered], axis=0) for name in trained
        }
        adapter = AdapterState({**server.adapter, **cast_like(trained, middle)})
        return ServerState(adapter, server.memory, server.round + 1)
