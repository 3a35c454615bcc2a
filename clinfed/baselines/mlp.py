"""A small multilayer perceptron over frozen note vectors: one probability a code, many codes a note.

Its tensors are an AdapterState, so that a strategy averages them like any adapter. torch is imported inside functions.

Source: Federated Learning for ICD Classification with Lightweight Models and Pretrained Embeddings, 2025
(arXiv 2507.03122), whose abstract names the parts; sizes and training are ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinfed.adapters.state import LARGEST_WEIGHT, AdapterState
from clinfed.baselines.settings import Classifier
from clinfed.errors import DivergedError

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]

# The sigmoid of it is .02: nearly all codes are absent from a note, and training need not learn that first.
FIRST_BIAS = -4.0


@dataclass(frozen=True)
class Examples:
    """A clinic's training notes as the classifier sees them. Shapes: vectors (N, H); targets (N, C) of 0 and 1."""

    clinic: str
    vectors: Floats
    targets: Floats

    def __len__(self) -> int:
        return len(self.vectors)


def first_state(inputs: int, outputs: int, settings: Classifier, *, seed: int) -> AdapterState:
    """Return new weights, drawn from the seed."""
    import torch

    from clinfed.training.determinism import stream_seed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("first classifier", seed))
        network = _network(inputs, outputs, settings.hidden)
    return _state(network)


def train(
    state: AdapterState,
    examples: Examples,
    settings: Classifier,
    *,
    epochs: range,
    seed: int,
    threads: int = 1,
    proximal_mu: float = 0.0,
) -> tuple[AdapterState, float]:
    """Return the weights after these global epochs over the examples, and the mean loss of the steps.

    A new optimiser is made at each call; the order of notes follows from (seed, clinic, global epoch). The loss is the
    binary cross-entropy in nats, summed over codes and averaged over notes.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from clinfed.training.determinism import stream_seed

    torch.set_num_threads(threads)
    network = _network_of(state)
    parameters = list(network.parameters())
    start = [parameter.detach().clone() for parameter in parameters] if proximal_mu else []
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    vectors, targets = torch.from_numpy(examples.vectors), torch.from_numpy(examples.targets)
    losses: list[float] = []
    for epoch in epochs:
        rng = np.random.default_rng(stream_seed("classifier epoch", seed, examples.clinic, epoch))
        order = torch.from_numpy(rng.permutation(len(examples)))
        for rows in order.split(settings.batch_notes):
            logits = network(vectors[rows])
            loss = binary_cross_entropy_with_logits(logits, targets[rows], reduction="sum") / len(rows)
            loss.backward()
            for parameter, first in zip(parameters, start, strict=False):  # FedProx; nothing without a start
                parameter.grad.add_(parameter.detach() - first, alpha=proximal_mu)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.item())
        if not all(bool((each.detach().abs() <= LARGEST_WEIGHT).all()) for each in parameters):
            raise _diverged(examples.clinic, epoch, settings)
    return _state(network), sum(losses) / max(1, len(losses))


def _diverged(clinic: str, epoch: int, settings: Classifier) -> DivergedError:
    found = f"clinic {clinic}: the classifier diverged in pass {epoch + 1}"
    most = f"a weight is not finite, or larger than {LARGEST_WEIGHT:,.0f}"
    return DivergedError(f"{found}: {most}; lower classifier.learning_rate={settings.learning_rate:g}")


def probabilities(state: AdapterState, vectors: Floats) -> Floats:
    """Return each code's probability in each note. Shapes: vectors (N, H); returns (N, C)."""
    import torch

    with torch.inference_mode():
        found: Floats = torch.sigmoid(_network_of(state)(torch.from_numpy(vectors))).numpy()
    return found


def _network(inputs: int, outputs: int, hidden: int) -> "nn.Module":
    """Return the network. The vectors' scale is taken out by a norm without weights: no clinic shares its mean."""
    import torch
    from torch import nn

    layers: Iterable[nn.Module] = (nn.Linear(inputs, hidden), nn.ReLU()) if hidden else ()
    last = nn.Linear(hidden or inputs, outputs)
    with torch.no_grad():
        last.bias.fill_(FIRST_BIAS)
    return nn.Sequential(nn.LayerNorm(inputs, elementwise_affine=False), *layers, last)


def _network_of(state: AdapterState) -> "nn.Module":
    import torch

    shapes = [array.shape for name, array in state.items() if name.endswith("weight")]
    hidden = shapes[0][0] if len(shapes) == 2 else 0
    network = _network(shapes[0][1], shapes[-1][0], hidden)
    network.load_state_dict({name.removeprefix("head."): torch.from_numpy(array) for name, array in state.items()})
    return network


def _state(network: "nn.Module") -> AdapterState:
    return AdapterState({f"head.{name}": each.numpy().copy() for name, each in network.state_dict().items()})
