"""Signatures of a site's answers: what is hashed, how it is signed, and how a signature is checked.

A site's key is that of its SuperNode, elliptic P-384 in OpenSSH's form; the coordinator holds the public half. What is
signed is the question with its nonce and run, and every value of the answer. So an answer cannot be changed, moved to
another question, or made by anybody without the key.
"""

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed import protocol
from clinfed.errors import UserError
from clinfed.runs.backend import Block, Content

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

    PrivateKey = EllipticCurvePrivateKey
    PublicKey = EllipticCurvePublicKey
    Keys = Mapping[str, PublicKey]  # of registered sites, by name

SCHEME = "clinfed answer 1"  # what is signed first: no signature of another use, or another form, passes for one
LONGEST_SIGNATURE = 120  # bytes; one of P-384 has at most 104
_LENGTH = struct.Struct("!Q")
_FLOAT = struct.Struct("!d")


def digest(kind: str, question: Mapping[str, Any], content: Content) -> bytes:
    """Return the SHA-384 over an answer and the question that it answers. kind: of the message.

    question: all but its tensors. Raises: ValueError for a value that no answer holds.
    """
    hashed = hashlib.sha384()
    _add(hashed, SCHEME)
    _add(hashed, kind)
    _add(hashed, question)
    _add(hashed, {name: values for name, values in content.items() if name != protocol.SIGNATURE})
    return hashed.digest()


def _add(hashed: Any, value: object) -> None:
    """Add a value with its type and its length, so that no two answers are one row of bytes."""
    if isinstance(value, Mapping):
        hashed.update(b"m" + _LENGTH.pack(len(value)))
        for name in sorted(value):
            _add(hashed, name)
            _add(hashed, value[name])
    elif isinstance(value, Block):
        _add(hashed, f"{value.kind}|{value.dtype}|{','.join(map(str, value.shape))}")
        _add(hashed, value.data)
    else:
        tag, data = _as_bytes(value)
        hashed.update(tag + _LENGTH.pack(len(data)))
        hashed.update(data)


def _as_bytes(value: object) -> tuple[bytes, bytes]:
    if isinstance(value, bytes):
        return b"y", value
    if isinstance(value, str):
        return b"s", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bool):  # an int to Python
        return b"b", bytes([value])
    if isinstance(value, int):
        return b"i", str(value).encode()
    if isinstance(value, float):
        return b"f", _FLOAT.pack(value)
    raise ValueError("a value that no answer holds")


def sign(key: "PrivateKey", digested: bytes) -> bytes:
    """Return the signature of a digest."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA384

    return key.sign(digested, ECDSA(Prehashed(SHA384())))


def is_signed_by(key: "PublicKey", digested: bytes, signature: bytes) -> bool:
    """Return whether the key's owner has signed this digest."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA384

    try:
        key.verify(signature, digested, ECDSA(Prehashed(SHA384())))
    except InvalidSignature:
        return False
    return True


def read_private(path: Path) -> "PrivateKey":
    """Return a private key. Raises: UserError where it is none that Flower takes."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    expected = "expected an elliptic private key in OpenSSH's form, without passphrase"
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}), {expected}; copy site.key again") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise UserError(
            f"{path}: another kind of key, {expected}; make one: ssh-keygen -t ecdsa -b 384 -N '' -f site.key"
        )
    return key


def read_public(path: Path) -> "PublicKey":
    """Return a public key, as register.sh takes it. Raises: UserError where it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    expected = "expected an elliptic public key in OpenSSH's form"
    try:
        key = load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}), {expected}; copy it again") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise UserError(f"{path}: another kind of key, {expected}; copy it again")
    return key
