"""Identities of a base: of its files before loading, of its numbers after."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed.bases.base import FILES, TOKENIZER_FILES, Base

if TYPE_CHECKING:
    from torch import nn

CHUNK_BYTES = 1 << 20  # large models are read in pieces


def fingerprint(base: Base) -> str:
    """Return the SHA-256 that all sides must share: of config and weights, or of architecture and seed if random."""
    if not base.random_init:
        return _files_sha256(base.folder(), FILES)
    from clinfed.bases.load import model_config

    architecture = {
        k: v for k, v in model_config(base).to_dict().items() if k not in ("_name_or_path", "transformers_version")
    }
    return hashlib.sha256(json.dumps([architecture, base.random_seed], sort_keys=True).encode()).hexdigest()


def tokenizer_fingerprint(base: Base) -> str:
    """Return the SHA-256 of the tokenizer's files."""
    return _files_sha256(base.folder(), TOKENIZER_FILES)


def base_sha256(encoder: "nn.Module") -> str:
    """Return the SHA-256 of the base's tensors, quantisation constants included, with or without an adapter on it.

    With an adapter of peft, trainable tensors are left out. The hash is then the same before the adapter is attached,
    after it, and after training. Names, dtypes, shapes and bytes count.
    """
    import torch

    attached = hasattr(encoder, "peft_config")
    trainable = {name for name, parameter in encoder.named_parameters() if attached and parameter.requires_grad}
    frozen = {_bare(name): tensor for name, tensor in encoder.state_dict().items() if name not in trainable}
    digest = hashlib.sha256()
    for name, tensor in sorted(frozen.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _bare(name: str) -> str:
    """Return the name that a tensor had before peft wrapped its module."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def _files_sha256(folder: Path, patterns: list[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        digest.update(f"{path.name}|{path.stat().st_size}|".encode())
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK_BYTES):
                digest.update(piece)
    return digest.hexdigest()
