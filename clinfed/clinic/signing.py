"""A real site signs what it answers, with the key that its settings name; a simulated clinic and a trial do not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed import protocol, signatures
from clinfed.clinic.site import PARTITION, NodeConfig, Site, of_node
from clinfed.errors import UserError
from clinfed.refusals import RefusedError
from clinfed.runs.backend import Content

if TYPE_CHECKING:
    from clinfed.signatures import PrivateKey

OTHERS = 0o077  # bits of a file's mode that let another account in

Sign = Callable[[str, Mapping[str, Any], Content], Content]  # (kind, question, answer) -> the answer with its signature


def signer(node_config: NodeConfig) -> Sign:
    """Return what signs this site's answers. Raises: RefusedError("key") where the settings name one that is unfit."""
    site = None if PARTITION in node_config else of_node(node_config)
    if site is None or not site.key:
        return lambda kind, question, content: content
    key = private_key(site)

    def sign(kind: str, question: Mapping[str, Any], content: Content) -> Content:
        signature = signatures.sign(key, signatures.digest(kind, question, content))
        return {**content, protocol.SIGNATURE: {protocol.SIGNATURE: signature}}

    return sign


def private_key(site: Site) -> "PrivateKey":
    """Return the key that the settings name. Raises: RefusedError("key") where it is none, or is not private."""
    path = Path(site.key)
    try:
        key = signatures.read_private(path)
    except UserError as error:
        raise RefusedError("key", str(error)) from None
    if path.stat().st_mode & OTHERS:
        raise RefusedError("key", f"{path}: other accounts of this machine may use it; chmod 600 {path}")
    return key
