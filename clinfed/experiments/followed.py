"""A run that a Flower app does, as the command that has started it follows it: lines for people, and a status file."""

from collections.abc import Callable
from pathlib import Path

from clinfed.runs import status
from clinfed.runs.status import Status
from server.progress import MARK


class Followed:
    """Shows what the server prints for the user, and knows from the status file where the run stands.

    begun: called once, with the run's folder.
    """

    def __init__(
        self, path: Path, show: Callable[[str], None], begun: Callable[[Path], None] = lambda folder: None
    ) -> None:
        self.path, self.show, self.begun = path, show, begun
        self.shown = 0
        self.run_folder: Path | None = None

    @property
    def status(self) -> Status:
        """Return where the run stands. Raises: UserError where the file holds something else."""
        return status.read(self.path)

    @property
    def heard(self) -> bool:
        """Return whether the run has ended and each line that it has printed was shown."""
        now = self.status
        return now.ended and self.shown >= now.lines

    def hear(self, line: str) -> None:
        """Take a line of Flower's log; show it where the server means it for the user."""
        if self.run_folder is None and (found := self.status.folder):
            self.run_folder = Path(found)
            self.begun(self.run_folder)
        if line.startswith(MARK):
            self.shown += 1
            self.show(line.removeprefix(MARK).rstrip("\n"))
