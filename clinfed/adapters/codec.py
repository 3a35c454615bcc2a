"""What travels: an AdapterState as a list of plain tensors, and back with every claim checked; no pickle."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from clinfed.adapters.state import AdapterState

WIRE_VERSION = 2  # changes whenever names, dtypes or byte order on the wire change
DTYPE = "<f4"  # little-endian float32, the only one so far
PREFIXES = ("encoder.", "head.")


class WireError(ValueError):
    """A message that does not follow the schema; the text names tensors and sizes only."""


class WireTensor(NamedTuple):
    """One tensor on the wire."""

    name: str
    dtype: str  # numpy's type string with byte order
    shape: tuple[int, ...]
    data: bytes  # C order, little-endian


def encode(state: AdapterState) -> list[WireTensor]:
    """Return the state's tensors in name order, as little-endian float32 bytes.

    Raises: WireError for a tensor of another dtype: a silent cast would change what both sides hash.
    """
    return [_encoded(name, array) for name, array in state.items()]


def decode(tensors: Iterable[WireTensor], *, version: int) -> AdapterState:
    """Return the state that the tensors hold; its arrays are read-only views of the received bytes.

    Raises: WireError for another version, dtype or name form, for a name given twice, and for a byte count that does
    not fit the shape; a tensor is checked before anything is made of it.
    """
    if version != WIRE_VERSION:
        raise WireError(
            f"wire schema version {version}, expected {WIRE_VERSION}: install the same clinfed on all sides"
        )
    arrays: dict[str, np.ndarray] = {}
    for tensor in tensors:
        _check(tensor)
        if tensor.name in arrays:
            raise WireError(f"{tensor.name}: given twice")
        arrays[tensor.name] = np.frombuffer(tensor.data, dtype=DTYPE).reshape(tensor.shape)
    return AdapterState(arrays)


def _encoded(name: str, array: np.ndarray) -> WireTensor:
    if array.dtype.newbyteorder("=") != np.float32:
        raise WireError(f"{name}: dtype {array.dtype}, expected float32")
    data = np.ascontiguousarray(array, dtype=DTYPE).tobytes()
    return WireTensor(name, DTYPE, tuple(array.shape), data)


def _check(tensor: WireTensor) -> None:
    name = tensor.name
    if not isinstance(name, str) or not name.startswith(PREFIXES) or not name.isprintable() or len(name) > 200:
        raise WireError('a tensor\'s name does not start with "encoder." or "head." or is too long')
    if tensor.dtype != DTYPE:
        raise WireError(f"{name}: dtype {tensor.dtype!r:.20}, expected {DTYPE!r}")
    if len(tensor.shape) > 8 or any(type(axis) is not int or axis < 0 for axis in tensor.shape):
        raise WireError(f"{name}: the shape is not a short list of counts")
    expected = 4 * math.prod(tensor.shape)  # Python integers: a huge shape cannot overflow, and nothing is allocated
    if len(tensor.data) != expected:
        raise WireError(f"{name}: {len(tensor.data)} bytes, expected {expected} for shape {tensor.shape}")
