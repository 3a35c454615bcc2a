"""FedProx: FedAvg with a pull towards the global adapter in the clinics' loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinfed.settings import setting
from strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg whose clinics add proximal_mu/2 * ||w - w_global||^2 to their loss, over what they train.

    Source: Li et al. 2020, Federated Optimization in Heterogeneous Networks, Algorithm 2.
    """

    proximal_mu: float = setting(
        0.01, help="0 gives FedAvg; the paper's grid is 0.001, 0.01, 0.1, 1", least=0, most=1_000
    )

    def gradient(
        self, name: str, gradient: Any, weight: Any, received: Mapping[str, Any], client_state: Mapping[str, Any]
    ) -> Any:
        """Return the gradient with that of the proximal term."""
        return gradient + self.proximal_mu * (weight - received["adapter"])
