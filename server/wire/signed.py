"""Whether an answer was made by the site that it names: its signature, and whose key fits it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clinfed import protocol, signatures
from clinfed.protocol import BadAnswerError, Reason
from clinfed.runs.backend import Content

if TYPE_CHECKING:
    from clinfed.signatures import Keys


def check_signature(content: Content, keys: "Keys", *, kind: str, question: Mapping[str, Any]) -> Content:
    """Return the answer without its signature, which is the one of the site that it names. Raises: BadAnswerError.

    keys: of the registered sites; none in a simulation or a trial, where a signature says nothing.
    """
    unsigned = {name: values for name, values in content.items() if name != protocol.SIGNATURE}
    if not keys:
        return unsigned
    signature = content.get(protocol.SIGNATURE, {}).get(protocol.SIGNATURE)
    if not isinstance(signature, bytes) or len(signature) > signatures.LONGEST_SIGNATURE:
        raise BadAnswerError(Reason.UNSIGNED)
    try:
        digested = signatures.digest(kind, question, unsigned)
    except ValueError:
        raise BadAnswerError(Reason.MALFORMED) from None
    named = unsigned.get(protocol.IDENTITY, {}).get("clinic")
    claimed = keys.get(named) if isinstance(named, str) else None
    if claimed and signatures.is_signed_by(claimed, digested, signature):
        return unsigned
    for site, key in keys.items():
        if signatures.is_signed_by(key, digested, signature):
            raise BadAnswerError(Reason.OTHER_NAME, clinic=site)
    raise BadAnswerError(Reason.OTHER_KEY)
