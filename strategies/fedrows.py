"""FedRows: FedAvg in which each row of the head is averaged over the clinics that have trained it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate, Payload
from strategies.average import cast_like, weighted_mean
from strategies.base import ClientState, LocalReport, ServerState, Strategy


@dataclass(frozen=True)
class FedRows(Strategy):
    """FedAvg, but a clinic without any mention of a code has no say in that code's row of the head.

    Such a clinic sends the row back as it got it and is left out of the row's mean; a row that no clinic has trained
    stays as it is. With plain FedAvg what a lone clinic learns of a rare code is diluted by its share of all notes.
    An update shows exactly which codes a clinic holds, and has to be seen for it: not for secure aggregation.
    Source: Diao et al. 2021, HeteroFL (arXiv 2010.01264), averages a parameter over the clients that have it; here such
    a parameter is a row of the head.
    """

    averages = True

    def update(
        self, received: Payload, trained: AdapterState, client_state: ClientState, report: LocalReport
    ) -> tuple[Payload, ClientState]:
        """Return the adapter with the rows of codes that the clinic's notes do not hold as they came."""
        tensors = {}
        for name, array in trained.items():
            held = report.held_rows(name)
            before = received.adapter[name]
            tensors[name] = (
                array if held is None else np.where(held.reshape(-1, *[1] * (array.ndim - 1)), array, before)
            )
        return Payload(AdapterState(tensors)), ClientState(client_state.memory, report.round_index)

    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the state whose adapter is the mean of the updates, in the head row by row."""
        head = {name for name in server.adapter if name.startswith("head.")}
        mean = weighted_mean(server.adapter, updates, by_row=head)
        return ServerState(cast_like(server.adapter, mean), server.memory, server.round + 1)
