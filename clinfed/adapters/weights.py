"""Between a model and an AdapterState: reading the trained parameters, and writing them in place."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clinfed.adapters.state import AdapterState, Shapes

if TYPE_CHECKING:
    from torch import nn


FLOAT32 = np.dtype(np.float32).str  # as it travels


class Tagger(Protocol):
    """A model with an encoder (with or without adapter) and a head."""

    encoder: Any  # of transformers, or peft's around it: torch's types know none of their attributes
    head: "nn.Module"


def read_state(tagger: Tagger) -> AdapterState:
    """Return float32 copies of all parameters that are trained, under their wire names."""
    return AdapterState(
        {name: parameter.detach().float().cpu().numpy().copy() for name, parameter in trainable_parameters(tagger)}
    )


def read_shapes(tagger: Tagger) -> Shapes:
    """Return the shapes that read_state would have, without a copy of any number."""
    return {name: (tuple(each.shape), FLOAT32) for name, each in trainable_parameters(tagger)}


def write_state(tagger: Tagger, state: AdapterState) -> None:
    """Copy a state's numbers into the model's trained parameters, in place; tensors and devices stay the model's own.

    Raises: ValueError when names or shapes differ; then nothing was written.
    """
    import torch

    parameters = dict(trainable_parameters(tagger))
    if parameters.keys() != state.keys():
        absent, foreign = sorted(parameters.keys() - state.keys()), sorted(state.keys() - parameters.keys())
        raise ValueError(
            f"adapter state: lacks {len(absent)} tensors {absent[:3]}, has {len(foreign)} unknown {foreign[:3]}"
        )
    for name, parameter in parameters.items():
        if tuple(parameter.shape) != state[name].shape:
            raise ValueError(f"adapter state: {name} has shape {state[name].shape}, expected {tuple(parameter.shape)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.array(state[name])))  # a copy: torch warns about read-only arrays


def trainable_parameters(tagger: Tagger) -> "Iterator[tuple[str, nn.Parameter]]":
    """Yield wire name and parameter of all that is trained, named "encoder." (as if peft were not there) or "head."."""
    for prefix, module in (("encoder", tagger.encoder), ("head", tagger.head)):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                yield f"{prefix}.{wire_name(name)}", parameter


def wire_name(name: str) -> str:
    """Return a parameter's name without what peft puts around it; names do not depend on the adapter's local name."""
    return name.removeprefix("base_model.model.").replace(".default.", ".").removesuffix(".default")
