"""LoKr: the update of each linear layer as the Kronecker product of two small matrices.

Source: Yeh et al. 2024, Navigating Text-to-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation,
section 3.3; implemented by peft.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinfed.adapters.base import DROPOUT, RANK, SCALE, PeftAdapter
from clinfed.errors import AdviceWarning, UserError
from clinfed.settings import setting

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

Shape = tuple[int, int]  # inputs and outputs of a linear layer
FACTORS = (2, 4, 8, 16)  # of decomposition, that are tried as the parameter-matched form


@dataclass(frozen=True)
class Lokr(PeftAdapter):
    """W x + alpha/r * (C kron D) x, where D is a product of rank r, unless r is so large that D is stored whole.

    Both factors (or the factors of D) are averaged as they are.
    """

    r: int = setting(16, help="rank of the second factor", **RANK)
    alpha: float = setting(32.0, help="the update is scaled by alpha / r", **SCALE)
    decompose_factor: int = setting(
        -1,
        help="size of C; -1 makes C and D nearly square, which leaves hardly any parameters",
        least=-1,
        most=65_536,
    )
    rank_dropout: float = setting(0.0, help="part of the update's rows that a step leaves out", **DROPOUT)
    module_dropout: float = setting(0.0, help="part of the updates that a step leaves out", **DROPOUT)

    def __post_init__(self) -> None:
        if self.decompose_factor == 0:
            raise UserError("adapter.decompose_factor=0: expected -1, or 1 or more")

    def config(self, encoder: "nn.Module", targets: Sequence[str]) -> "PeftConfig":
        """Return peft's LoKr; warns where a larger rank would be the same model."""
        from peft import LoKrConfig

        shapes = [_shape(encoder.get_submodule(name)) for name in targets if _is_whole_name(encoder, name)]
        if shapes and saturated(shapes, self.r, self.decompose_factor):
            warnings.warn(self._advice(shapes), AdviceWarning, stacklevel=2)
        return LoKrConfig(
            r=self.r,
            alpha=self.alpha,
            decompose_factor=self.decompose_factor,
            rank_dropout=self.rank_dropout,
            module_dropout=self.module_dropout,
            target_modules=list(targets),
        )

    def _advice(self, shapes: Sequence[Shape]) -> str:
        own = num_parameters(shapes, self.r, self.decompose_factor)
        lora = sum(self.r * (inputs + outputs) for inputs, outputs in shapes)
        matched = min(FACTORS, key=lambda factor: abs(num_parameters(shapes, self.r, factor) - lora))
        return (
            f"adapter=lokr adapter.r={self.r}: the rank is saturated, any larger one is the same model of {own:,} "
            f"numbers (LoRA of this rank: {lora:,}); adapter.decompose_factor={matched} is nearest to LoRA, with "
            f"{num_parameters(shapes, self.r, matched):,}"
        )


def saturated(shapes: Iterable[Shape], r: int, factor: int) -> bool:
    """Return whether no layer's second factor is a product of rank r: it is stored whole."""
    return all(2 * r >= max(_second(shape, factor)) for shape in shapes)


def num_parameters(shapes: Iterable[Shape], r: int, factor: int) -> int:
    """Return how many numbers LoKr learns on these layers."""
    total = 0
    for inputs, outputs in shapes:
        second = _second((inputs, outputs), factor)
        first = (inputs // second[0]) * (outputs // second[1])
        total += first + (second[0] * second[1] if 2 * r >= max(second) else r * sum(second))
    return total


def _second(shape: Shape, factor: int) -> Shape:
    """Return inputs and outputs of the second Kronecker factor."""
    from peft.tuners.lokr.layer import factorization

    return factorization(shape[0], factor)[1], factorization(shape[1], factor)[1]


def _shape(layer: "nn.Module") -> Shape:
    return int(layer.in_features), int(layer.out_features)  # type: ignore[arg-type]


def _is_whole_name(encoder: "nn.Module", name: str) -> bool:
    """Return whether a target is a module's full name; a user may give endings, too."""
    return name in dict(encoder.named_modules())
