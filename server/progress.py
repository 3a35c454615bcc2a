"""What the server tells its user, line by line, recognisable among Flower's own lines."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from clinfed.protocol import Refused
from clinfed.runs import status
from clinfed.runs.status import Status

MARK = "clinfed | "  # `clinfed simulate` shows the lines that begin so

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


class Reporter:
    """Says lines for people, and writes where the run stands for the command that has started it.

    path: of the status file; "" where no command waits for one.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._now = Status()

    def say(self, text: str) -> None:
        """Print a text for the user."""
        say(text)
        self._now = replace(self._now, lines=self._now.lines + len(text.splitlines()))

    def begun(self, folder: Path) -> None:
        """Report the run's folder."""
        self._write(replace(self._now, folder=str(folder)))

    def complete(self, record: Path) -> None:
        """Report that the run has come to its end."""
        self._write(replace(self._now, record=str(record)))

    def refused(self, error: Exception) -> None:
        """Report a user's mistake in one line: to the command that waits, else to whoever reads what is printed."""
        line = str(error).replace("\n", " ")
        if self._path:
            self._write(replace(self._now, error=line))
        else:
            say(f"error: {line}")

    def _write(self, now: Status) -> None:
        self._now = now
        if self._path:
            status.write(Path(self._path), now)


def say_refused(say: Say, what: str, refused: Iterable[Refused]) -> None:
    """Say a line for each clinic that was left out."""
    for each in refused:
        say(f"{what} | clinic {each.clinic} left out: {each.reason}")
