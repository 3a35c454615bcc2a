"""Seeds from names: every random stream of a run follows from its seed and from what it is for."""

import hashlib

import numpy as np
import torch


def stream_seed(*parts: str | int) -> int:
    """Return a 63-bit seed for a purpose, such as (run seed, clinic name, global epoch)."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(*parts: str | int) -> np.random.Generator:
    """Seed torch's global generators (dropout, new parameters) for a purpose and return numpy's for the same."""
    seed = stream_seed(*parts)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)
