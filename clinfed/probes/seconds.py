"""Where the seconds go: one timer a process, one phase at a time."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

PHASES = ("start", "load", "train", "serialise", "aggregate", "evaluate")


class PhaseTimer:
    """Adds up seconds by phase. Time in an inner phase is not the outer's too, so that phases add up to the whole."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._running: list[str] = []
        self._since = 0.0
        self._seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's seconds to a phase, whether or not it ends well. Raises: KeyError for an unknown phase."""
        if name not in self._seconds:
            raise KeyError(f"{name}: no such phase, expected one of {', '.join(PHASES)}")
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """Return seconds by phase, the running phase up to now included."""
        self._switch()
        return dict(self._seconds)

    def _switch(self) -> None:
        now = self._clock()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now


def add_seconds(*parts: Mapping[str, float]) -> dict[str, float]:
    """Return seconds by phase, summed over processes or rounds."""
    return {phase: sum(part.get(phase, 0.0) for part in parts) for phase in PHASES}
