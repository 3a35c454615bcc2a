"""JSON of users' files, in which each object names a key once.

Python's own reader keeps the last of two equal keys and says nothing: mentions would vanish, and codes change.
"""

import json
from typing import Any


class RepeatedKeyError(ValueError):
    """An object names a key twice. The message does not repeat the key."""


def loads(text: str | bytes) -> Any:
    """Return the value. Raises: ValueError where the text is no JSON, RepeatedKeyError where a key stands twice."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise RepeatedKeyError("a key stands twice in one object")
    return content
