"""What the server tells its user, line by line, recognisable among Flower's own lines."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from clinfed.protocol import Refused

MARK = "clinfed | "  # `clinfed simulate` shows what follows it

Say = Callable[[str], None]


FILE = "state/progress.json"  # in a run's folder


@dataclass(frozen=True)
class Progress:
    """Writes how many clinics of a round have answered, for the bar of the command that has started the run."""

    folder: Path  # of the run
    rounds: int

    def __call__(self, round_index: int, answers: int, clinics: int) -> None:
        """Replace what was written before, whole or not at all; a run does not end for want of a bar."""
        now = {"round": round_index, "rounds": self.rounds, "answers": answers, "clinics": clinics}
        path = self.folder / FILE
        partial = path.with_suffix(".partial")
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(now), "utf-8")
            os.replace(partial, path)


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
