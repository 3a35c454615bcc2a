"""FFA-LoRA: FedAvg in which LoRA's A stays as it was drawn, and only B and the head train and travel up."""

from dataclasses import dataclass

from clinfed.adapters.state import Shapes
from clinfed.errors import UserError
from strategies.fedavg import FedAvg

FROZEN = ".lora_A."  # in a tensor's name


@dataclass(frozen=True)
class FfaLora(FedAvg):
    """FedAvg with A frozen at its shared start: the mean of B A over the clinics is then exactly (mean of B) A.

    With FedAvg on both factors the mean of the products is another matrix. An update has half of LoRA's size where
    layers are square. A goes down each round: a clinic's worker may be new, and its GPU would draw another A.
    Source: Sun et al. 2024, Improving LoRA in Privacy-preserving Federated Learning (arXiv 2403.12313), section 4.
    """

    def refuse(self, shapes: Shapes) -> None:
        """Raise UserError unless the adapter has LoRA's A."""
        if not any(FROZEN in name for name in shapes):
            raise UserError(
                "strategy=ffa_lora: the adapter has no LoRA A to freeze; choose adapter=lora, qlora or dora, "
                "or another strategy"
            )

    def trainable(self, name: str, round_index: int) -> bool:
        """Return whether the parameter is none of LoRA's A."""
        return FROZEN not in name
