"""The keys of registered sites, as the coordinator's folder has them: sites/NAME.pub where there is a sites/NAME.id.

    keys = KnownKeys(Path("coordinator/sites"))
    keys.signer(headers)  # "north" where north's key has signed these headers of Flower's, else ""

While a site's key is renewed, its old one stays in NAME.pub.replaced: it is valid until unregister.sh.
"""

import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

KEY, TIMESTAMP, SIGNATURE = "flwr-public-key", "flwr-timestamp", "flwr-signature"  # Flower's headers
REPLACED = ".pub.replaced"
LOOK_EVERY_S = 1.0


class KnownKeys:
    """Who has signed a request. The folder is looked at again when it changes, at most once a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: dict[str, tuple[str, EllipticCurvePublicKey]] = {}  # as the header has it -> site and key
        self._seen: list[tuple[str, int]] | None = None
        self._looked = 0.0

    def signer(self, headers: Mapping[str, str]) -> str:
        """Return the site whose registered key has signed the headers' timestamp, "" where there is none.

        How old the signature may be is the SuperLink's matter. A stranger costs a look-up; only for a registered key,
        which strangers do not know, is a signature verified.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        self._look()
        site, key = self._keys.get(headers.get(KEY, ""), ("", None))
        if key is None:
            return ""
        try:
            signature = b64decode(headers.get(SIGNATURE, ""), validate=True)
            key.verify(signature, headers.get(TIMESTAMP, "").encode(), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, NotBase64, ValueError):
            return ""
        return site

    def _look(self) -> None:
        now = time.monotonic()
        if self._seen is not None and now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        files = sorted(path for pattern in ("*.id", "*.pub", f"*{REPLACED}") for path in self.folder.glob(pattern))
        seen = [(path.name, path.stat().st_mtime_ns) for path in files]
        if seen != self._seen:
            self._seen, self._keys = seen, self._read(files)

    def _read(self, files: list[Path]) -> dict[str, tuple[str, "EllipticCurvePublicKey"]]:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

        registered = {path.stem for path in files if path.suffix == ".id"}
        found = {}
        for path in files:
            site = path.name.removesuffix(REPLACED).removesuffix(".pub")
            if path.suffix == ".id" or site not in registered:
                continue
            try:
                key = load_ssh_public_key(path.read_bytes())
            except (ValueError, OSError):  # register.sh has taken it, so Flower can read it; anything else is no key
                continue
            if isinstance(key, EllipticCurvePublicKey):
                pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                found[b64encode(pem).decode("ascii")] = site, key
        return found
