"""FedAdam: an Adam step on the server along the mean change that the clinics made."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.average import cast_like, weighted_mean
from strategies.base import ServerState, Strategy


@dataclass
class FedAdam(Strategy):
    """With d the weighted mean of w_k - w: m = b1 m + (1-b1) d; v = b2 v + (1-b2) d^2; w += lr m / (sqrt(v) + tau).

    As in the source, v starts at tau^2 and there is no bias correction, so that the first steps are short. Unlike
    there, the mean is weighted by training notes, as in FedAvg. Moments are float64 and live in ServerState.memory.
    Source: Reddi et al. 2021, Adaptive Federated Optimization, Algorithm 2; defaults of beta and tau from section 5.
    """

    linear = True
    single_updates = False

    learning_rate: float = 0.01  # the server's; a step is about this size once the moments have settled
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 0.001  # how much adaptivity: changes well below it are not scaled up

    def __post_init__(self) -> None:
        for key in ("beta1", "beta2"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"strategy.{key}={getattr(self, key)}: expected at least 0 and less than 1")
        for key in ("learning_rate", "tau"):
            if getattr(self, key) <= 0:
                raise ValueError(f"strategy.{key}={getattr(self, key)}: expected more than 0")

    def start(self, adapter: AdapterState) -> ServerState:
        """Return the state before the first round, with its two moments."""
        first = AdapterState({name: np.zeros(array.shape) for name, array in adapter.items()})
        second = AdapterState({name: np.full(array.shape, self.tau**2) for name, array in adapter.items()})
        return ServerState(adapter, {"first_moment": first, "second_moment": second})

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the state after one Adam step of the server."""
        mean = weighted_mean(server.adapter, updates)
        first, second, stepped = {}, {}, {}
        for name, array in server.adapter.items():
            now = array.astype(np.float64)
            change = mean[name] - now
            first[name] = self.beta1 * server.memory["first_moment"][name] + (1 - self.beta1) * change
            second[name] = self.beta2 * server.memory["second_moment"][name] + (1 - self.beta2) * change**2
            stepped[name] = now + self.learning_rate * first[name] / (np.sqrt(second[name]) + self.tau)
        memory = {"first_moment": AdapterState(first), "second_moment": AdapterState(second)}
        return ServerState(cast_like(server.adapter, stepped), memory, server.round + 1)
