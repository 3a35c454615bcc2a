"""FedProx: FedAvg with a pull towards the global adapter in the clinics' loss."""

from dataclasses import dataclass

from clinfed.settings import setting
from strategies.fedavg import FedAvg


@dataclass
class FedProx(FedAvg):
    """FedAvg whose clinics add proximal_mu/2 * ||w - w_global||^2 to their loss, over what they train.

    Source: Li et al. 2020, Federated Optimization in Heterogeneous Networks, Algorithm 2.
    """

    proximal_mu: float = setting(
        0.01, help="0 gives FedAvg; the paper's grid is 0.001, 0.01, 0.1, 1", least=0, most=1_000
    )
