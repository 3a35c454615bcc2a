"""Rounds without a model: what a clinic would send, had its training ended at given numbers."""

from dataclasses import replace

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.base import ClientState, LocalReport, ServerState, Strategy

SHAPES = {"encoder.x.lora_A.weight": (2, 3), "encoder.x.lora_B.weight": (3, 2), "head.bias": (), "head.code": (3, 2)}
RATES = {"encoder": 0.5, "head": 2.0}  # summed over the steps
LARGEST = (50.0, 0.01)


def random_state(seed: int, dtype: str = "float32") -> AdapterState:
    rng = np.random.default_rng(seed)
    return AdapterState({name: np.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()})


def held_rows(name: str) -> np.ndarray | None:
    """Return that the clinic holds the codes of the first two rows of the head's one matrix."""
    return np.array([True, True, False]) if name == "head.code" else None


def report_of(round_index: int, notes: int) -> LocalReport:
    return LocalReport(round_index, notes, 4, RATES, LARGEST, held_rows)


def answer(
    strategy: Strategy, server: ServerState, trained: AdapterState, notes: int, clinic: str = "Vic"
) -> tuple[AdapterUpdate, ClientState]:
    """Return the update and the new state of a clinic whose training ended at these numbers; a mask holds."""
    received, index = strategy.broadcast(server), server.round + 1
    ended = {
        name: array if strategy.trainable(name, index) else received.adapter[name] for name, array in trained.items()
    }
    state = strategy.first(received)
    payload, client_state = strategy.update(received, AdapterState(ended), state, report_of(index, notes))
    return AdapterUpdate(clinic, payload.adapter, notes, 4, payload.extra), client_state


def sent(strategy: Strategy, server: ServerState, seed: int, dtype: str = "float32") -> AdapterUpdate:
    """Return the update of a clinic that random training has led anywhere."""
    update, _ = answer(strategy, server, random_state(seed, dtype), 1 + seed % 97)
    return replace(update, clinic=f"clinic-{seed}")


def tensors_of(update: AdapterUpdate) -> AdapterState:
    return update.payload.flat
