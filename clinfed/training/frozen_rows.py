"""Rows of the head that a site's policy keeps frozen: the codes of too few patients, and those of none."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import trainable_parameters
from clinfed.training.loop import Gradient
from clinfed.training.model import Tagger

if TYPE_CHECKING:
    from clinfed.tasks.base import Task

Rows = Mapping[str, Tensor]  # tensor name -> indices of its rows, (R,) int64


def label_rows(tagger: Tagger, task: "Task", codes: Collection[int]) -> Rows:
    """Return which rows of the head belong to these codes."""
    found: dict[str, Tensor] = {}
    if codes:
        wanted = torch.tensor(sorted(codes), dtype=torch.int64)
        for name, parameter in trainable_parameters(tagger):
            part, _, inside = name.partition(".")
            rows = task.label_rows(inside, wanted) if part == "head" else None
            if rows is not None:
                found[name] = rows.to(parameter.device)
    return found


def without_rows(gradient: Gradient | None, rows: Rows) -> Gradient:
    """Return the change of gradients after which these rows have none."""

    def masked(name: str, found: Tensor, weight: Tensor) -> Tensor:
        changed = gradient(name, found, weight) if gradient else found
        return changed.index_fill(0, rows[name], 0.0) if name in rows else changed

    return masked


def restore_rows(tagger: Tagger, received: AdapterState, rows: Rows) -> None:
    """Put these rows back to what was received."""
    parameters = dict(trainable_parameters(tagger))
    with torch.no_grad():
        for name, indices in rows.items():
            before = torch.tensor(received[name]).to(parameters[name])
            parameters[name][indices] = before[indices]
