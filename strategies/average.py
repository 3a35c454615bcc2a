"""The weighted mean of a stream of updates, shared by every strategy that averages."""

from collections.abc import Container, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate

Sums = dict[str, NDArray[np.float64]]
NO_NOTES = "nothing to average: the updates hold no training notes in all"


def weighted_mean(reference: AdapterState, updates: Iterable[AdapterUpdate], *, by_row: Container[str] = ()) -> Sums:
    """Return the updates' mean weighted by training notes, in float64; memory does not grow with the clinics.

    reference: what the updates are to hold (payload.flat), as it was before; says which names and shapes are expected.
    by_row: tensors whose rows (along the first axis) are averaged over those updates that have changed them; a row that
    none has changed is the reference's.
    Raises: ValueError, naming the clinic, for wrong names or shapes, NaN, infinity, or no training notes at all.
    """
    sums: Sums = {name: np.zeros(array.shape) for name, array in reference.items()}
    totals: Sums = {name: np.zeros(_row_shape(array) if name in by_row else ()) for name, array in reference.items()}
    single: Sums | None = None
    total = 0
    for count, update in enumerate(updates):
        check(reference, update)
        sent = update.payload.flat
        # n*x/n need not be x where x is itself float64, so that a lone update is passed on as it came.
        single = {name: array.astype(np.float64) for name, array in sent.items()} if count == 0 else None
        for name, array in sent.items():
            weight: Any = np.float64(update.num_examples)
            if name in by_row:
                weight = weight * _changed_rows(array, reference[name])
            sums[name] += weight * array.astype(np.float64)
            totals[name] += weight
        total += update.num_examples
    if total == 0:
        raise ValueError(NO_NOTES)
    return single or {
        name: np.where(totals[name] > 0, array / np.maximum(totals[name], 1), reference[name])
        for name, array in sums.items()
    }


def _row_shape(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of one number a row, that spreads over the array; () for a single number."""
    return (*array.shape[:1], *(1 for _ in array.shape[1:]))


def _changed_rows(array: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows differ. Shapes: (R, ...) both; returns (R, 1, ...)."""
    changed: NDArray[np.bool_] = (array != reference).any(axis=tuple(range(1, array.ndim)), keepdims=True)
    return changed


def check(reference: AdapterState, update: AdapterUpdate) -> None:
    """Raise ValueError, naming the clinic, unless the update has the reference's names and shapes and is finite."""
    if update.num_examples < 0:
        raise ValueError(f"{update.clinic}: num_examples is {update.num_examples}, expected 0 or more")
    sent = update.payload.flat
    if set(sent) != set(reference):
        name = min(set(sent) ^ set(reference))
        raise ValueError(f"{update.clinic}: tensor {name} is {'missing' if name in reference else 'not expected'}")
    for name, array in sent.items():
        if array.shape != reference[name].shape:
            raise ValueError(f"{update.clinic}: {name} has shape {array.shape}, expected {reference[name].shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{update.clinic}: {name} holds values that are not finite")


def cast_like(reference: AdapterState, tensors: Sums) -> AdapterState:
    """Return float64 tensors as a state of the reference's dtypes."""
    return AdapterState({name: np.asarray(tensors[name], array.dtype) for name, array in reference.items()})
