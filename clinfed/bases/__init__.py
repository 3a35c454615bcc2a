"""Frozen encoders: which one, where its files are, and how it is loaded. Importing this package never imports torch."""

from clinfed.bases.base import Base
from clinfed.bases.fingerprint import base_sha256, fingerprint, tokenizer_fingerprint
from clinfed.bases.kind import kind_of, refuse_other_kind
from clinfed.bases.language_head import load_language_head
from clinfed.bases.load import load_encoder, load_tokenizer, meta_encoder
from clinfed.bases.targets import target_modules

__all__ = [
    "Base",
    "base_sha256",
    "fingerprint",
    "kind_of",
    "load_encoder",
    "load_language_head",
    "load_tokenizer",
    "meta_encoder",
    "refuse_other_kind",
    "target_modules",
    "tokenizer_fingerprint",
]
