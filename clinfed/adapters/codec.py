"""What travels: an AdapterState as one block of bytes in safetensors' format, and back with every claim checked.

One block, since Flower sends every array as objects of its own, each with a request at each of three hops: a hundred
small tensors cost a real site seconds a round. The format holds names, types, shapes and little-endian numbers; no
pickle.
"""

import re

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from clinfed.adapters.state import AdapterState

WIRE_VERSION = 7  # changes whenever names, dtypes or the format on the wire change
# Of an adapter's tensor, or of one that is a strategy's own: extra.NAME.TENSOR.
NAME = re.compile(r"(encoder|head|extra\.[a-z][a-z0-9_]*)\..+")
LONGEST_NAME = 200  # characters


class WireError(ValueError):
    """A message that does not follow the schema; the text names tensors and types only."""


class WireTypeError(WireError):
    """A tensor of another number type than float32, the only one so far."""


def encode(state: AdapterState) -> bytes:
    """Return the state's tensors as safetensors' bytes; the same state gives the same bytes.

    Raises: WireTypeError for a tensor of another dtype: a silent cast would change what both sides hash.
    """
    for name, array in state.items():
        _check_type(name, array)
    return save({name: np.ascontiguousarray(array, dtype="<f4").reshape(array.shape) for name, array in state.items()})


def decode(data: bytes, *, version: int) -> AdapterState:
    """Return the state that the bytes hold; its arrays are read-only.

    Raises: WireError for another version, for bytes that are not safetensors' (shapes, sizes and offsets must fit, a
    name stands once) and for another form of name; WireTypeError for another number type.
    """
    if version != WIRE_VERSION:
        raise WireError(
            f"wire schema version {version}, expected {WIRE_VERSION}: install the same clinfed on all sides"
        )
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError):  # KeyError: a type that numpy lacks
        raise WireError("the tensors are not in safetensors' format") from None
    for name, array in arrays.items():
        if not NAME.fullmatch(name) or not name.isprintable() or len(name) > LONGEST_NAME:
            raise WireError('a tensor\'s name does not start with "encoder.", "head." or "extra.NAME.", or is too long')
        _check_type(name, array)
        array.flags.writeable = False
    return AdapterState(arrays)


def _check_type(name: str, array: np.ndarray) -> None:
    if array.dtype.newbyteorder("=") != np.float32:
        raise WireTypeError(f"{name}: dtype {array.dtype}, expected float32")
