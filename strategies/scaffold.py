"""SCAFFOLD: FedAvg whose clinics correct each gradient by how theirs differs from everybody's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed.adapters.state import AdapterState, Shapes
from clinfed.adapters.update import AdapterUpdate, Payload, extra_name
from clinfed.settings import setting
from strategies.average import cast_like, weighted_mean
from strategies.base import ClientState, LargestStep, Limits, LocalReport, Schema, ServerState, Strategy

CONTROL = "control"  # the control variate: c of the server and c_k of a clinic; what comes up is the change of c_k
SLACK = 1.001  # of a limit: c and its change are float32


@dataclass(frozen=True)
class Scaffold(Strategy):
    """Each local step goes along g - c_k + c; then c_k+ = c_k - c + (w - w_k) / (sum of the steps' learning rates).

    The server: w += server_learning_rate * mean(w_k - w); c += (share of the notes drawn) * mean(c_k+ - c_k). As in
    FedAvg, means are weighted by training notes. Needs training.optimiser=sgd: only there is a step a gradient. Each
    clinic keeps its c_k, which is about its mean gradient, on its own disk; twice FedAvg's bytes travel.
    Source: Karimireddy et al. 2020, SCAFFOLD (arXiv 1910.06378), Algorithm 1, option II; there means are unweighted.
    """

    linear = True
    single_updates = False
    optimiser = "sgd"

    server_learning_rate: float = setting(
        1.0, help="1: the mean of the clinics' adapters, as in FedAvg", above=0, most=10
    )

    @property
    def averages(self) -> bool:
        """Return whether a single update becomes the next global adapter: with a server learning rate of 1."""
        return self.server_learning_rate == 1

    def start(self, adapter: AdapterState) -> ServerState:
        """Return the state before the first round: c is 0."""
        return ServerState(adapter, {CONTROL: _zeros(adapter)})

    def broadcast(self, server: ServerState) -> Payload:
        """Return adapter and c."""
        return Payload(server.adapter, {CONTROL: server.memory[CONTROL]})

    def schema(self, shapes: Shapes, round_index: int) -> Schema:
        """Return the adapter's tensors and one extra tensor for each, down and up."""
        both = shapes | {extra_name(CONTROL, name): each for name, each in shapes.items()}
        return Schema(both, both)

    def limits(self, received: Payload, largest_step: LargestStep) -> Limits:
        """Return where the change of c_k lies: around -c, as far as a step goes, or c itself.

        With such a change the next c is no larger than c or a step, whoever sends it.
        """
        found = {}
        for name, control in received.extra[CONTROL].items():
            radius = np.maximum(_largest(received.adapter[name], largest_step), np.abs(control))
            found[extra_name(CONTROL, name)] = (-control, radius * SLACK)
        return found

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the state after the mean step, with c moved by the mean change of the control variates."""
        sampled = [0, 0]  # training notes of those in the round, and of all clinics

        def counted() -> Iterator[AdapterUpdate]:
            for update in updates:
                sampled[0], sampled[1] = sampled[0] + update.num_examples, update.total_examples
                yield update

        mean = weighted_mean(self.broadcast(server).flat, counted())
        share = sampled[0] / max(sampled)
        rate, control = self.server_learning_rate, server.memory[CONTROL]
        stepped = {name: (1 - rate) * array + rate * mean[name] for name, array in _wide(server.adapter)}
        moved = {name: array + share * mean[extra_name(CONTROL, name)] for name, array in _wide(control)}
        memory = {CONTROL: cast_like(control, moved)}
        return ServerState(cast_like(server.adapter, stepped), memory, server.round + 1)

    def first(self, received: Payload) -> ClientState:
        """Return c_k = 0."""
        return ClientState({CONTROL: _zeros(received.extra[CONTROL])})

    def gradient(
        self, name: str, gradient: Any, weight: Any, received: Mapping[str, Any], client_state: Mapping[str, Any]
    ) -> Any:
        """Return g - c_k + c."""
        return gradient - client_state[CONTROL] + received[CONTROL]

    def update(
        self, received: Payload, trained: AdapterState, client_state: ClientState, report: LocalReport
    ) -> tuple[Payload, ClientState]:
        """Return the adapter and the change of c_k, and the new c_k; both stay where no step moved anything."""
        change, control = {}, {}
        for name, shared in received.extra[CONTROL].items():
            start, rate = received.adapter[name], report.learning_rate(name)
            if rate > 0:
                mean_step = (start.astype(np.float64) - trained[name]) / rate
                farthest = _largest(start, report.largest_step)  # what is more is the rounding of the weights
                change[name] = np.asarray(np.clip(mean_step, -farthest, farthest) - shared, shared.dtype)
            else:  # no batch in this part of an epoch, or a schedule's last step
                change[name] = np.zeros_like(shared)
            control[name] = np.asarray(client_state.memory[CONTROL][name] + change[name], shared.dtype)
        return Payload(trained, {CONTROL: AdapterState(change)}), ClientState(
            {CONTROL: AdapterState(control)}, report.round_index
        )


def _zeros(like: AdapterState) -> AdapterState:
    return AdapterState({name: np.zeros_like(array) for name, array in like.items()})


def _wide(state: AdapterState) -> Iterator[tuple[str, NDArray[np.float64]]]:
    return ((name, array.astype(np.float64)) for name, array in state.items())


def _largest(weight: NDArray[Any], largest_step: LargestStep) -> NDArray[np.float64]:
    """Return how many learning rates a step may move each number."""
    fixed, relative = largest_step
    return np.asarray(fixed + relative * np.abs(weight.astype(np.float64)))
