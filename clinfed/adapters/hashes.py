"""Whether a folder's files are those that were written: each file's SHA-256, kept beside them in JSON."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from clinfed.errors import UserError

KEY = "files"  # file name -> SHA-256, in each JSON file that records them
FOR_READERS = ("README.md",)  # a card may be amended; nothing is loaded from it


def of_files(folder: Path, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the SHA-256 of the folder's files by name: of all, or of those named that are there."""
    files = [folder / name for name in names] if names else sorted(folder.iterdir())
    return {file.name: of_file(file) for file in files if file.is_file()}


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_changed(record: Path) -> None:
    """Raise UserError for the first file that is not the one whose hash a JSON file beside it records.

    Nothing is refused where there is no such JSON file, or one without hashes: clinfed 0.1 wrote none for a run.
    """
    if not record.is_file():
        return
    for name, expected in _recorded(record).items():
        path = record.with_name(name)
        if name in FOR_READERS:
            continue
        if not path.is_file():
            raise UserError(f"{path}: missing, but {record.name} lists it; copy the whole folder again")
        if (found := of_file(path)) != expected:
            raise UserError(
                f"{path}: SHA-256 {found[:16]}, but {record.name} says {expected[:16]}: the file was changed or is of "
                "another adapter; copy the whole folder again"
            )


def _recorded(record: Path) -> dict[str, str]:
    try:
        hashes: Mapping[str, str] = json.loads(record.read_text(encoding="utf-8")).get(KEY, {})
        return {Path(name).name: str(sha256) for name, sha256 in hashes.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{record}: cannot be read ({type(error).__name__}); copy the whole folder again") from None
