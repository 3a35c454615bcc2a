"""Searches for planted words in all that left a simulation's clinics."""

from collections.abc import Iterator
from typing import Any


def written_by(run: Any) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of all that left the clinic: output, logs, database, records, adapters, Ray's session.

    The clinic's own private folder is not among it: its encoded notes and error details are there on purpose.
    """
    yield "output", run.out.encode() + run.err.encode()
    for folder in [run.home / "runs", *run.folders]:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def found(run: Any, words: tuple[str, ...]) -> list[str]:
    """Return which of the words stand where."""
    return [f"{word} in {name}" for name, content in written_by(run) for word in words if word.encode() in content]
