"""Which layers an adapter is put on, read from the module tree that was loaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinfed.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def target_modules(encoder: "nn.Module") -> list[str]:
    """Return the full names of all linear layers inside the encoder's layers, in tree order.

    The encoder's layers are the one outermost ModuleList of equal modules that hold linear layers. Embeddings, pooler
    and heads stand outside it, so they are never named. NF4 layers count: they are linear layers too.
    Raises: UserError with a listing when there is not exactly one such stack.
    """
    from torch import nn

    stacks = _stacks(encoder)
    if len(stacks) != 1:
        raise UserError(f"{_refusal(encoder, stacks)}; name the layers yourself with adapter.target_modules=[...]")
    return [
        name
        for name, module in encoder.named_modules()
        if name.startswith(f"{stacks[0]}.") and isinstance(module, nn.Linear)
    ]


def refuse_unknown(encoder: "nn.Module", names: Sequence[str]) -> None:
    """Raise UserError unless each name is a module of the encoder, or the end of one's name, as peft takes them."""
    from torch import nn

    modules = [name for name, _ in encoder.named_modules()]
    linear = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    for target in names:
        if not any(name == target or name.endswith(f".{target}") for name in modules):
            raise UserError(
                f"adapter.target_modules: {target} is not a layer of the encoder, which has "
                f"{', '.join(sorted(linear))}; choose from these (not the head: it is always trained "
                "whole, and never quantised)"
            )


def _stacks(encoder: "nn.Module") -> list[str]:
    """Return the names of the outermost ModuleLists whose members are of one class and hold linear layers."""
    from torch import nn

    found: list[str] = []
    for name, module in encoder.named_modules():
        if (
            any(name.startswith(f"{outer}.") for outer in found)
            or not isinstance(module, nn.ModuleList)
            or not len(module)
        ):
            continue
        same = len({type(layer) for layer in module}) == 1
        if same and all(any(isinstance(part, nn.Linear) for part in layer.modules()) for layer in module):
            found.append(name)
    return found


def _refusal(encoder: "nn.Module", stacks: list[str]) -> str:
    from torch import nn

    lists = [
        f"{name} ({len(module)} x {type(module[0]).__name__})"
        for name, module in encoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    linears = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    shown = ", ".join(linears[:12]) + (f" and {len(linears) - 12} more" if len(linears) > 12 else "")
    return (
        f"{type(encoder).__name__}: found {len(stacks)} stacks of encoder layers, expected 1; "
        f"module lists: {', '.join(lists) or 'none'}; linear layers: {shown or 'none'}"
    )
