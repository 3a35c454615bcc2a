"""The rules that an answer must obey, and why one is left out; plain values only, no Flower here.

Each rule raises BadAnswerError with a fixed reason: nothing that came over the wire is ever repeated. The table of
rules, reasons and tests stands in docs/quarantine.md.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState, Shapes
from clinfed.adapters.update import EXTRA
from clinfed.protocol import BadAnswerError, Reason
from clinfed.tasks.base import Task
from strategies.base import Limits

LARGEST_FIGURE = 2**53  # what a float holds exactly; a petabyte, or 285 million years of seconds
PREDICTED_OF_NOTE = (
    10_000  # on average: a long report has a few thousand words, and an adapter that is new predicts many
)
WORKER = re.compile(r"[0-9a-f]{32}")


def check_identity(identity: Mapping[str, Any], *, clinic: str | None, code: str, nonce: str) -> None:
    """Refuse an answer of another clinic, of other code, or to another question. clinic: None in a hello."""
    if identity.get("nonce") != nonce:
        raise BadAnswerError(Reason.REPLAYED)
    if clinic is not None and identity.get("clinic") != clinic:
        raise BadAnswerError(Reason.OTHER_CLINIC)
    # In a hello the fingerprints tell more of it.
    if clinic is not None and (identity.get("wire") != WIRE_VERSION or identity.get("code") != code):
        raise BadAnswerError(Reason.OTHER_CODE)
    if clinic is not None and identity.keys() != set(protocol.IDENTITY_NAMES):
        raise BadAnswerError(Reason.MALFORMED)
    worker = identity.get("worker")
    if not isinstance(worker, str) or not WORKER.fullmatch(worker) or not is_printable(identity.get("clinic")):
        raise BadAnswerError(Reason.MALFORMED)


def is_printable(name: object) -> bool:
    """Return whether it is a short text that can be shown."""
    return isinstance(name, str) and len(name) <= protocol.LONGEST_NAME and name.isprintable()


def check_report(report: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse a report unless it holds these figures, no other, and each is a number that can be."""
    if report.keys() != set(names) or not all(_plausible(name, value) for name, value in report.items()):
        raise BadAnswerError(Reason.FIGURES)


def _plausible(name: str, value: Any) -> bool:
    # bool is an int to Python, but no count. Comparisons hold for no NaN, and for whole numbers of any length.
    kinds = (int, float) if name.endswith("_s") or name == "loss" else (int,)
    least = -LARGEST_FIGURE if name == "loss" else 0  # a likelihood of a density may be negative
    return type(value) in kinds and least <= value <= LARGEST_FIGURE


def check_examples(num_examples: object, registered: int) -> None:
    """Refuse a weight in the average that is not 1 to the number of training notes that the clinic registered."""
    if type(num_examples) is not int or num_examples < 1:
        raise BadAnswerError(Reason.NO_EXAMPLES)
    if num_examples > registered:
        raise BadAnswerError(Reason.MORE_EXAMPLES)


def check_steps(steps: int, most: int) -> None:
    """Refuse more steps of the optimiser than the clinic's registered windows make."""
    if steps > most:
        raise BadAnswerError(Reason.FIGURES)


def check_tensors(state: AdapterState, expected: Shapes) -> None:
    """Refuse tensors unless names, shapes and types are the schema's; numpy would broadcast some that are not."""
    if state.keys() != expected.keys():
        raise BadAnswerError(Reason.NAMES)
    for name, (shape, dtype) in expected.items():
        if state[name].shape != shape:
            raise BadAnswerError(Reason.SHAPE)
        if state[name].dtype.str != dtype:
            raise BadAnswerError(Reason.TYPE)


def check_limits(flat: AdapterState, limits: Limits) -> None:
    """Refuse a strategy's own tensors unless they are finite and each number lies within its limits."""
    for name, array in flat.items():
        if name.startswith(f"{EXTRA}."):
            centre, radius = limits[name]
            if not np.isfinite(array).all():
                raise BadAnswerError(Reason.NOT_FINITE)
            if not (np.abs(array.astype(np.float64) - centre) <= radius).all():
                raise BadAnswerError(Reason.OUT_OF_LIMITS)


def check_max_update(state: AdapterState, before: AdapterState, max_update: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a state that is not finite, or where some number lies further from the one before than training can go.

    max_update: (a, b) of each part, where a number w can be moved by a + b*|w|: clinfed.training.max_update.
    """
    for name, array in state.items():
        fixed, relative = max_update[name.split(".")[0]]
        if not np.isfinite(array).all():
            raise BadAnswerError(Reason.NOT_FINITE)
        with np.errstate(over="ignore"):  # of two huge numbers; infinity is refused as well
            distance = np.abs(array - before[name])
        if not (distance <= fixed + relative * np.abs(before[name])).all():
            raise BadAnswerError(Reason.BEYOND_MAX_UPDATE)


def length_of(state: AdapterState, before: AdapterState) -> float:
    """Return how far a state lies from the one before: the Euclidean length over all tensors of the state."""
    squares = (np.square(array.astype(np.float64) - before[name]).sum() for name, array in state.items())
    return math.sqrt(math.fsum(squares))


def check_length(length: float, longest: float) -> None:
    """Refuse an update longer than the coordinator's multiple of the round before; it is never rescaled."""
    if length > longest:
        raise BadAnswerError(Reason.TOO_LONG)


def check_counts(
    evaluated: protocol.Evaluated,
    task: Task,
    *,
    split: str,
    test_evaluation: bool,
    replicates: bool,
    registered: Mapping[str, int],
    shared: Collection[str],
) -> None:
    """Refuse counts of other systems than agreed, of unknown codes, or that cannot be.

    registered: the clinic's hello. shared: the codes that a site may name; a simulated clinic may name others too.
    """
    beside = [protocol.ENSEMBLE, protocol.CLINIC_LEXICONS, *([protocol.POOLED_LEXICON] if registered["nodes"] else [])]
    systems = [protocol.FEDERATED, *(beside if task.has_spans and test_evaluation else [])]
    asked = {
        (system, gold) for system in systems for gold in (task.gold_names if test_evaluation else [protocol.ALL_GOLD])
    }
    if evaluated.keys() != asked:
        raise BadAnswerError(Reason.COUNTS)
    for counts in evaluated.values():
        try:
            counts.check(
                replicates=protocol.REPLICATES if replicates else 0, shared=None if registered["nodes"] else shared
            )
        except ValueError:
            raise BadAnswerError(Reason.COUNTS) from None
        if counts.gold > registered[f"{split}_mentions"]:
            raise BadAnswerError(Reason.MORE_GOLD)
        if counts.predicted > PREDICTED_OF_NOTE * registered[f"{split}_notes"]:
            raise BadAnswerError(Reason.COUNTS)


def check_rows(arrays: Mapping[str, NDArray[np.int64]]) -> None:
    """Refuse rows that count nothing: zeros travel as next to nothing, and take ten times their bytes once read."""
    if not all(rows.any(axis=-1).all() for name, rows in arrays.items() if name.endswith(".counts")):
        raise BadAnswerError(Reason.COUNTS)
