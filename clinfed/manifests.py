"""A run's manifest: who starts it, with which overrides, code and bases, signed with the coordinator's operator key.

    text = signed(Manifest("ada", now(), ("rounds=3",), fingerprints.code(), uses), key)  # what travels with the run
    manifest = verified(text, public)  # at the coordinator and at each site

A manifest is for one run. Its hash is what a site approves.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clinfed import signatures

if TYPE_CHECKING:
    from clinfed.signatures import PrivateKey, PublicKey

SCHEME = b"clinfed manifest 1\n"
LONGEST = 2**16  # characters of the text that travels
LONGEST_WHO = 80
BASES = ("base", "tokenizer", "labels")  # fingerprints that it names, as in fingerprints.of_use


class ManifestError(ValueError):
    """A text that is no manifest, or not one of the operator's; the message quotes nothing of it."""


@dataclass(frozen=True)
class Manifest:
    """What a run's starter has signed. started: ISO 8601, UTC. uses: fingerprint by name, those of BASES."""

    started_by: str
    started: str
    overrides: tuple[str, ...]
    code: str
    uses: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Return the hash that a site approves."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def canonical(self) -> bytes:
        """Return it as the bytes that are signed."""
        return SCHEME + json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


def now() -> str:
    """Return the time as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def signed(manifest: Manifest, key: "PrivateKey") -> str:
    """Return what travels with the run."""
    signature = signatures.sign(key, hashlib.sha384(manifest.canonical).digest())
    written = {"manifest": asdict(manifest), "signature": base64.b64encode(signature).decode("ascii")}
    return json.dumps(written, sort_keys=True)


def verified(text: str, key: "PublicKey") -> Manifest:
    """Return the manifest of a text that the key's owner has signed. Raises: ManifestError."""
    manifest, signature = _read(text)
    if not signatures.is_signed_by(key, hashlib.sha384(manifest.canonical).digest(), signature):
        raise ManifestError("it is not signed with the operator's key")
    return manifest


def unverified(text: str) -> Manifest:
    """Return the manifest of a text, whoever has signed it. Raises: ManifestError where it is none."""
    return _read(text)[0]


def _read(text: str) -> tuple[Manifest, bytes]:
    if not text:
        raise ManifestError("there is none")
    if len(text) > LONGEST:
        raise ManifestError("it is too long")
    try:
        written = json.loads(text)
        values, signature = written["manifest"], base64.b64decode(written["signature"], validate=True)
        manifest = Manifest(**{**values, "overrides": tuple(values["overrides"])})
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        raise ManifestError("it is not built as run.sh makes it") from None
    if not _is_plain(manifest) or len(signature) > signatures.LONGEST_SIGNATURE:
        raise ManifestError("it is not built as run.sh makes it")
    return manifest, signature


def _is_plain(manifest: Manifest) -> bool:
    """Return whether each value is a text that may be shown, and nothing is missing."""
    texts: list[Any] = [manifest.started_by, manifest.started, manifest.code, *manifest.overrides]
    if not isinstance(manifest.uses, dict) or manifest.uses.keys() != set(BASES):
        return False
    return all(isinstance(text, str) and text.isprintable() for text in [*texts, *manifest.uses.values()]) and (
        0 < len(manifest.started_by) <= LONGEST_WHO
    )
