"""FedAdam: an Adam step on the server along the mean change that the clinics made."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.settings import setting
from strategies.average import cast_like, weighted_mean
from strategies.base import ServerState, Strategy


@dataclass(frozen=True)
class FedAdam(Strategy):
    """With d the weighted mean of w_k - w: m = b1 m + (1-b1) d; v = b2 v + (1-b2) d^2; w += lr m / (sqrt(v) + tau).

    As in the source, v starts at tau^2 and there is no bias correction, so that the first steps are short. Unlike
    there, the mean is weighted by training notes, as in FedAvg. Moments are float64 and live in ServerState.memory.
    Source: Reddi et al. 2021, Adaptive Federated Optimization, Algorithm 2; defaults of beta and tau from section 5.

    A step moves a number by learning_rate, and by up to 1.7 times that in the fourth round: 5.7 rates in four
    rounds, and no schedule shortens them. All together should be as long as local training is: with n noisy steps
    of AdamW a round moves a number by about sqrt(n) of its rates. A round of the default job has 92 steps of at
    most 2e-3, half of that on average: .038 in four rounds. The head learns training.head_factor times faster, here
    likewise. With .01 for all tensors, four rounds could move a number of the head by .06 at most, a third of what
    local training moves it by.
    """

    linear = True
    single_updates = False

    learning_rate: float = setting(
        0.007,
        help="learning rate of the server; a step moves a number by about this much",
        above=0,
        most=1_000,
    )
    head_factor: float = setting(
        5.0, help="how many times faster the head moves, as training.head_factor at the clinics", above=0, most=1_000
    )
    beta1: float = setting(0.9, help="how much of the first moment a round keeps", least=0, below=1)
    beta2: float = setting(0.99, help="how much of the second moment a round keeps", least=0, below=1)
    tau: float = setting(
        0.001, help="how much adaptivity: changes well below it are not scaled up", above=0, most=1_000
    )

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
            rate = self.learning_rate * (self.head_factor if name.startswith("head.") else 1.0)
            stepped[name] = now + rate * first[name] / (np.sqrt(second[name]) + self.tau)
        memory = {"first_moment": AdapterState(first), "second_moment": AdapterState(second)}
        return ServerState(cast_like(server.adapter, stepped), memory, server.round + 1)
