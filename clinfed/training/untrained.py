"""Codes that nobody has trained: their rows of the head are still as they were drawn, so they must not be predicted.

Under FedRows, and under a site's policy, the row of a code that no clinic holds (or too few patients have) stays as it
is in all rounds. Its logit is then noise, which prediction masks. Everybody who has the adapter can see which rows
these are: the first state is drawn from the run's seed. So a mask reveals nothing that the adapter does not.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import trainable_parameters
from clinfed.training.model import Tagger

if TYPE_CHECKING:
    from clinfed.tasks.base import Task

HEAD = "head."
Prints = Mapping[str, NDArray[np.uint64]]  # tensor of the head -> a print of each of its rows, (R,)


def row_prints(tensors: Mapping[str, NDArray[Any]]) -> Prints:
    """Return a print of each row of the head: eight bytes stand for the row, which may have thousands."""
    return {name: _prints(array) for name, array in tensors.items() if name.startswith(HEAD) and array.ndim}


def first_prints(tagger: Tagger) -> Prints:
    """Return the prints of a model that is still as it was built."""
    return row_prints({name: each.detach().float().cpu().numpy() for name, each in trainable_parameters(tagger)})


def untrained(first: Prints, state: AdapterState, task: "Task", num_codes: int) -> frozenset[int]:
    """Return the codes, by number, of which every row of the head is as in the first state.

    None where those are all codes: such a head was not meant to train.
    """
    codes: set[int] = set(range(num_codes))
    any_tensor = False
    for name in first:
        still = first[name] == _prints(state[name])
        if task.label_rows(name.removeprefix(HEAD), torch.tensor([0])) is None:
            continue
        any_tensor = True
        codes = {code for code in codes if _all_still(still, name, task, code)} if still.any() else set()
    return frozenset(codes) if any_tensor and len(codes) < num_codes else frozenset()


def mask(tagger: Tagger, task: "Task", codes: Collection[int]) -> dict[str, torch.Tensor]:
    """Give these codes no chance: their biases become minus infinity. Return the biases that were changed, as before.

    A head whose rows have no bias keeps its predictions.
    """
    before: dict[str, torch.Tensor] = {}
    if codes:
        wanted = torch.tensor(sorted(codes), dtype=torch.int64)
        for name, parameter in trainable_parameters(tagger):
            rows = task.label_rows(name.removeprefix(HEAD), wanted) if name.startswith(HEAD) else None
            if rows is not None and parameter.ndim == 1:
                with torch.no_grad():
                    before[name] = parameter.clone()
                    parameter[rows.to(parameter.device)] = -torch.inf
    return before


@contextmanager
def masked(tagger: Tagger, task: "Task", codes: Collection[int]) -> Iterator[None]:
    """Mask these codes inside; afterwards the model is as before."""
    before = mask(tagger, task, codes)
    try:
        yield
    finally:
        parameters = dict(trainable_parameters(tagger))
        with torch.no_grad():
            for name, bias in before.items():
                parameters[name].copy_(bias)


def _prints(array: NDArray[Any]) -> NDArray[np.uint64]:
    rows = np.ascontiguousarray(array)
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, np.uint64)


def _all_still(still: NDArray[np.bool_], name: str, task: "Task", code: int) -> bool:
    rows = task.label_rows(name.removeprefix(HEAD), torch.tensor([code]))
    return rows is not None and bool(still[rows.numpy()].all())
