"""What is kept of judging invented and public notes only, beside a run's record: more than a real clinic may let go.

It never travels. A simulated clinic writes it into its private folder, under the adapter's hash; the command that
started the run moves it into the run's folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HITS = "hits.json"
UNITS, VALIDATION_UNITS = "unit_counts.json", "validation_unit_counts.json"  # beside record.COUNTS, VALIDATION_COUNTS
FILES = (HITS, UNITS, VALIDATION_UNITS)


def keep(path: Path, tree: Any) -> None:
    """Write what one clinic, or a run of several, keeps, as JSON."""
    path.write_text(json.dumps(tree, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


def collect(target: Path, clinics: Mapping[str, Path]) -> None:
    """Move what clinics have kept into one file of the run's: clinic -> what it has written; none where none has."""
    there = {clinic: path for clinic, path in sorted(clinics.items()) if path.is_file()}
    if there:
        keep(target, {clinic: json.loads(path.read_text(encoding="utf-8")) for clinic, path in there.items()})
    for path in there.values():
        path.unlink()


def read(path: Path) -> dict[str, Any]:
    """Return what was kept of a run by clinic, empty where nothing was."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
