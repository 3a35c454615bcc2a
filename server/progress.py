"""What the server tells its user, line by line, recognisable among Flower's own lines."""

import sys
from collections.abc import Callable, Iterable

from clinfed.protocol import Refused

MARK = "clinfed | "  # `clinfed simulate` shows what follows it

Say = Callable[[str], None]


def say(text: str) -> None:
    """Print a text, each line marked, in one write, so that no other thread's line falls into it."""
    sys.stdout.write("".join(f"{MARK}{line}\n" for line in text.splitlines()))
    sys.stdout.flush()


def say_error(error: Exception) -> None:
    """Print a user's mistake as the one line that `clinfed simulate` repeats."""
    say(f"error: {error}".replace("\n", " "))


def say_refused(say: Say, what: str, refused: Iterable[Refused]) -> None:
    """Say a line for each clinic that was left out."""
    for each in refused:
        say(f"{what} | clinic {each.clinic} left out: {each.reason}")
