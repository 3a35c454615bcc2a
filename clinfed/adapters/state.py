"""AdapterState: the tensors that travel (adapter and head), as numpy arrays under stable names."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

# Trained weights are around 1; beside such a number float32 holds no tenth, and no later round comes back from it.
LARGEST_WEIGHT = 1e6

Shapes = dict[str, tuple[tuple[int, ...], str]]  # tensor name -> shape and dtype


@dataclass(frozen=True)
class AdapterState(Mapping[str, np.ndarray]):
    """An immutable mapping from tensor name to array, always iterated in name order.

    Names start with "encoder." (adapter) or "head.". Arrays are float32 unless a method says otherwise.
    """

    tensors: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", dict(sorted(self.tensors.items())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def num_elements(self) -> int:
        """Return how many numbers travel."""
        return sum(array.size for array in self.tensors.values())

    @property
    def num_bytes(self) -> int:
        """Return the tensors' bytes on the wire, without the message around them."""
        return sum(array.nbytes for array in self.tensors.values())

    @property
    def shapes(self) -> Shapes:
        """Return each tensor's shape and dtype: what all sides must agree on."""
        return {name: (array.shape, array.dtype.str) for name, array in self.tensors.items()}

    def sha256(self) -> str:
        """Return the identity of a state: over sorted name, dtype, shape and little-endian bytes."""
        digest = hashlib.sha256()
        for name, array in self.tensors.items():
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name}|{little.dtype.str}|{little.shape}|".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()
