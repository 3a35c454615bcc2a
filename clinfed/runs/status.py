"""Where a run stands, in a small JSON file: what the command that has started a run reads of the process that does it.

The command names the file: to a Flower app in its run config (`status`), to another command of clinfed in the
environment ($CLINFED_STATUS). What is printed is for people; no process reads it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinfed import disk
from clinfed.errors import UserError

VARIABLE = "CLINFED_STATUS"
MODE = 0o600


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    folder: the run's, as soon as it has one. record: the path of its record, once it is complete. error: why the run
    was refused, in one line. lines: how many lines were printed for the user before this was written.
    """

    folder: str = ""
    record: str = ""
    error: str = ""
    lines: int = 0

    @property
    def ended(self) -> bool:
        """Return whether the run has come to its end, or was refused."""
        return bool(self.record or self.error)


def write(path: Path, status: Status) -> None:
    """Replace the file, whole or not at all. Only this account may read it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with disk.writing(path, partial):
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w", encoding="utf-8") as file:
            json.dump(asdict(status), file)
        os.replace(partial, path)


def read(path: Path) -> Status:
    """Return what the file says, Status() where there is none. Raises: UserError for a file that holds no status."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Status()
    except ValueError:  # no JSON, or no UTF-8
        said = None
    if not _is_status(said):
        raise UserError(
            f"{path}: found no status of a run, expected a JSON object of folder, record, error and lines; "
            "see `clinfed runs` for what has come of the run, or start it again"
        )
    return Status(**said)


def _is_status(said: Any) -> bool:
    kinds = {key: type(value) for key, value in asdict(Status()).items()}
    return isinstance(said, dict) and {key: type(value) for key, value in said.items()} == kinds


def report_error(text: str) -> None:
    """Tell the command that has started this one why it was refused; where nobody has named a file, nobody asks."""
    if path := os.environ.get(VARIABLE, ""):
        write(Path(path), Status(error=text))
