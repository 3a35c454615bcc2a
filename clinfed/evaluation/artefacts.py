"""What is kept of evaluating invented and public notes only, beside a run's record: more than a real clinic may let go.

It never travels. A simulated clinic writes it into its private folder, under the adapter's hash; the command that
started the run moves it into the run's folder.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clinfed.errors import UserError

HITS = "hits.json"
UNITS, VALIDATION_UNITS = "unit_counts.json", "validation_unit_counts.json"  # beside record.COUNTS, VALIDATION_COUNTS
OUTCOMES = "outcomes.json"
TRAINED = "training_support.json"  # mentions of each code in the training notes
SIBLINGS = "siblings.json"
FILES = (HITS, UNITS, VALIDATION_UNITS, OUTCOMES, SIBLINGS, TRAINED)


def keep(path: Path, tree: Any) -> None:
    """Write what one clinic, or a run of several, keeps, as JSON; a reader sees nothing or all of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(tree, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def collect(target: Path, clinics: Mapping[str, Path]) -> None:
    """Move what clinics have kept into one file of the run's: clinic -> what it has written; none where none has."""
    found = {}
    for clinic, path in sorted(clinics.items()):
        with suppress(FileNotFoundError):  # also where a run with the same adapter takes it at this moment
            found[clinic] = json.loads(path.read_text(encoding="utf-8"))
    if found:
        keep(target, read(target) | found)
    for path in clinics.values():
        path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Return what was kept of a run by clinic, empty where nothing was. Raises: UserError for another file."""
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path}: not JSON that a run wrote ({type(error).__name__}); remove it") from None
    return tree
