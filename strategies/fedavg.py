"""FedAvg: the mean of the clinics' adapters, weighted by their training notes."""

from collections.abc import Iterable
from dataclasses import dataclass

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.average import cast_like, weighted_mean
from strategies.base import ServerState, Strategy


@dataclass(frozen=True)
class FedAvg(Strategy):
    """w = sum_k n_k w_k / sum_k n_k, with n_k the training notes of clinic k; float64 sums, in clinic order.

    On LoRA this averages A and B apart, which is not the average of their products; aggregation is exact for the head.
    Source: McMahan et al. 2017, Communication-Efficient Learning of Deep Networks, Algorithm 1; on LoRA factors FedIT,
    Zhang et al. 2023 (arXiv 2305.05644).
    """

    linear = True
    single_updates = False
    averages = True

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the state whose adapter is the weighted mean of the updates; what did not train stays."""
        trained = self.trained(server.adapter, server.round + 1)
        mean = cast_like(trained, weighted_mean(trained, updates))
        return ServerState(AdapterState({**server.adapter, **mean}), server.memory, server.round + 1)
