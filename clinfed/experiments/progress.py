"""A bar with the remaining time on standard error, where that is a terminal; nothing of it is in a pipe or a log."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from clinfed.corpus.note import Note
from server.progress import FILE

if TYPE_CHECKING:
    from tqdm import tqdm

AnyNote = TypeVar("AnyNote", bound=Note)

USUAL_COLUMNS, USUAL_ROWS = 79, 24
TICK_S = 1.0  # how often the clock of a bar moves
FORM = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left"
Look = Callable[[], tuple[float, str] | None]  # how much is done now, and what is going on; None: not known yet


class Bar:
    """Shows how much of `total` is done. Its remaining time goes by what was done since it began.

    look: asked at each tick, for what is done elsewhere; else `set` says it.
    """

    def __init__(self, total: float, look: Look = lambda: None) -> None:
        self.total, self.look = total, look
        self._shown = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._end = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Bar":
        if self._shown:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._shown:
            self._ticker.join()
        if self._bar is not None:
            self._bar.close()

    def set(self, done: float, text: str) -> None:
        """Show how much is done, and what is going on."""
        if not self._shown:
            return
        if self._bar is None:
            from tqdm import tqdm

            form = {"bar_format": FORM, "leave": False, "smoothing": 0}
            self._bar = tqdm(total=self.total, initial=done, file=sys.stderr, **form, **room())
        self._bar.n = done
        self._bar.set_description_str(text)

    def say(self, line: str, out: IO[str]) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            print(line, file=out, flush=True)
        else:
            self._bar.write(line, file=out)
            out.flush()

    def _tick(self) -> None:
        while not self._end.wait(TICK_S):
            if (seen := self.look()) is not None:
                self.set(*seen)
            elif self._bar is not None:
                self._bar.refresh()


def rounds_done(folder: Path) -> tuple[float, str] | None:
    """Return which part of a run's rounds is done, by the clinics' answers, and what round it is; None before any.

    folder: the run's, in which its server writes what has come.
    """
    try:
        now = json.loads((folder / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    done = now["round"] - 1 + now["answers"] / max(1, now["clinics"])
    if done == now["rounds"]:
        return 1.0, "all rounds are done; evaluating"
    return done / now["rounds"], f"round {now['round']}/{now['rounds']}, {now['answers']} of {now['clinics']} clinics"


def shown(notes: Iterable[AnyNote], total: int | None) -> Iterator[AnyNote]:
    """Yield the notes while a bar moves on standard error, if that is a terminal."""
    from tqdm import tqdm

    return iter(tqdm(notes, total=total, unit=" notes", disable=None, file=sys.stderr, **room()))


def room() -> dict[str, Any]:
    """Return what a bar is told of standard error's size; the usual one where a terminal says 0, as in containers."""
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except OSError:  # no terminal
        columns = rows = 0
    return {"dynamic_ncols": True} if columns and rows else {"ncols": USUAL_COLUMNS, "nrows": USUAL_ROWS}
