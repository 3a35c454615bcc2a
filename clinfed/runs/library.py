"""The runs of this machine: their folders, and the names that users give them."""

from dataclasses import dataclass
from pathlib import Path

from clinfed.errors import UserError
from clinfed.home import runs_folder
from clinfed.runs import record as records

RECORD, NAME, STATE = "record.json", "name.txt", "state"
LONGEST_NAME = 60


@dataclass(frozen=True)
class ListedRun:
    """One folder of a run.

    f1: of the adapter, strict, on test against all gold; None where the run did not finish, or its task has no F1.
    """

    folder: str
    name: str
    started: str  # ISO 8601, UTC; "" where the run did not finish
    system: str  # federated or centralised; "" where the run did not finish
    rounds: int
    f1: float | None
    size_bytes: int
    started_by: str = ""  # "" where no manifest says it


def folders() -> list[Path]:
    """Return the folders of runs, newest first: those with a record, and those of interrupted runs."""
    found = [path for path in runs_folder().iterdir() if (path / RECORD).is_file() or (path / STATE).is_dir()]
    return sorted(found, key=lambda path: path.name, reverse=True)


def find(wanted: str) -> Path:
    """Return the folder of a run by its name, its folder's name or its path.

    Raises: UserError where there is no such run, or where two have the name.
    """
    known = folders()
    chosen = [path for path in known if wanted in (path.name, name_of(path))]
    if len(chosen) > 1:
        raise UserError(f"{wanted}: {len(chosen)} runs have this name; give the folder of one, see `clinfed runs`")
    path = chosen[0] if chosen else Path(wanted).expanduser().absolute()
    if path not in known and not (path / RECORD).is_file():
        raise UserError(f"{wanted}: no run of this name, and no folder with a {RECORD}; see `clinfed runs`")
    return path


def name_of(folder: Path) -> str:
    """Return the name that a user gave to a run, "" where there is none."""
    file = folder / NAME
    return file.read_text("utf-8").strip() if file.is_file() else ""


def give_name(folder: Path, name: str) -> None:
    """Write the name beside the record; "" removes it. Raises: UserError for a name that is too long, odd or taken."""
    if not name.isprintable() or len(name) > LONGEST_NAME or "/" in name or name != name.strip():
        raise UserError(f"name: expected at most {LONGEST_NAME} printable characters without / and outer blanks")
    if name and any(name in (other.name, name_of(other)) for other in folders() if other != folder):
        raise UserError(f"{name}: another run has this name; choose another one")
    if name:
        (folder / NAME).write_text(f"{name}\n", "utf-8")
    else:
        (folder / NAME).unlink(missing_ok=True)


def listed(folder: Path) -> ListedRun:
    """Return what a listing says of a run. A record that cannot be read is listed as one that did not finish."""
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        record = records.read(folder / RECORD)
    except UserError:
        return ListedRun(str(folder), name_of(folder), "", "", 0, None, size_bytes)
    system = next(name for name in records.ADAPTERS if name in record["test"])
    f1 = records.micro_f1(record, system)
    who = record.get("started_by", "")
    rounds = len(record["rounds"])
    return ListedRun(str(folder), name_of(folder), record["started"], system, rounds, f1, size_bytes, who)
