"""The runs that a report is given, each with the name of its row: what tells it from the others, or the user's word.

clinfed report "one place=RUN" "three clinics=RUN"
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import configs
from clinfed.errors import UserError
from clinfed.evaluation.report.results import LEXICONS, WITH_LEXICON, Finished, Result
from clinfed.experiments.rows import NO_DIFFERENCE, record_of
from clinfed.runs import documents
from clinfed.runs.record import ADAPTERS
from configs.migrations import completed

Found = tuple[Path, str, Finished]  # folder, name of the row, run


@dataclass(frozen=True)
class Given:
    """A folder that the user has given, and the name that they want for its row, "" for none."""

    folder: Path
    name: str = ""


def given(argument: str) -> Given:
    """Return what FOLDER or NAME=FOLDER stands for; both parts may hold further equals signs.

    Raises: UserError for a name that no row may have.
    """
    cuts = [place for place, letter in enumerate(argument) if letter == "="]
    if not cuts or Path(argument).exists():
        return Given(Path(argument))
    cut = next((place for place in cuts if Path(argument[place + 1 :]).exists()), cuts[0])
    name, folder = argument[:cut].strip(), Path(argument[cut + 1 :])
    if not name or "|" in name or not name.isprintable():
        raise UserError(f"{argument!r}: expected NAME=RUN with a name of one line and without |")
    if name in LEXICONS or name.endswith(WITH_LEXICON):
        raise UserError(f"{argument}: a row that the report adds may have this name; choose another name")
    return Given(folder, name)


def gather(folders: Iterable[Path | Given]) -> list[Found]:
    """Return all runs below the folders, of each row and seed of a comparison the newest.

    Raises: UserError where there is none, or the same run twice.
    """
    found: list[Found] = []
    for each in folders:
        place = each if isinstance(each, Given) else Given(each)
        runs = _runs_below(place.folder)
        if not runs and not gather_documents([place.folder]):
            raise UserError(f"{place.folder}: no run record; give the folder of a run, of a comparison or of sweeps")
        if place.name:
            several = len({row for _, row, _ in runs}) > 1
            runs = [(path, f"{place.name}: {row}" if several else place.name, run) for path, row, run in runs]
        found += runs
    return told_apart(found)


def _runs_below(folder: Path) -> list[Found]:
    newest = [record_of(each) for each in sorted(folder.glob("*/seed-*"))]
    found: list[Found] = []
    for path in [*folder.glob("record.json"), *(path for path in newest if path is not None)]:
        finished = Finished.of(path)
        row = unquote(path.parents[2].name) if path.parents[1].name.startswith("seed-") else ""
        found.append((path.parent, row or next(name for name in ADAPTERS if name in finished.record["test"]), finished))
    return found


def told_apart(found: Sequence[Found]) -> list[Found]:
    """Return the runs, those of one row with different settings as rows of their own, named by what differs.

    Raises: UserError for two runs of the same settings and seed: their mean would be no mean over seeds.
    """
    named: list[Found] = []
    places: dict[tuple[str, int], Path] = {}
    for row in dict.fromkeys(name for _, name, _ in found):
        runs = [(path, run) for path, name, run in found if name == row]
        for (path, run), differs in zip(runs, differences([run for _, run in runs]), strict=True):
            name, seed = f"{row} ({differs})" if differs else row, run.record["seeds"]["run"]
            if (name, seed) in places:
                raise UserError(
                    f"{path}: has the settings and the seed of {places[name, seed]}; leave one of the two out, "
                    "or name them: ONE=RUN OTHER=RUN"
                )
            places[name, seed] = path
            named.append((path, name, run))
    return named


def differences(runs: Sequence[Finished]) -> list[str]:
    """Return what tells each run of a row from the others: settings, and where two have the same ones, other facts."""
    told = distinguishing([run.record["config"] for run in runs])
    seeds = [run.record["seeds"]["run"] for run in runs]
    for fact in zip(*(_facts(run) for run in runs), strict=True):  # each of all runs at a time, no more than are needed
        if len(set(zip(told, seeds, strict=True))) < len(runs) and len(set(fact)) > 1:
            told = [", ".join(filter(None, both)) for both in zip(told, fact, strict=True)]
    return told


def _facts(run: Finished) -> list[str]:
    """Return what may differ between runs of the same settings: clinics and notes of real sites, code and machine."""
    manifest = run.record["manifest"]
    trained = sorted({clinic for entry in run.record["rounds"] for clinic in entry["clinics"]})
    notes = sum(entry.get("notes", 0) for entry in manifest.values())
    machine = run.record["machine"]
    where = machine.get("gpu") or machine.get("processor") or machine["name"]
    return [
        f"{len(trained)} clinics" if len(trained) > 3 else "clinics " + " ".join(trained),
        f"{notes:,} notes",
        f"code {run.record['fingerprints']['code'][:8]}",
        f"on {where}",
    ]


def distinguishing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells each resolved run from the others, as overrides, "" where nothing does.

    Seeds and places do not count, nor does a setting that an older version did not know.
    """
    runs = [completed(run) for run in runs]
    keys = sorted({key for other in runs for key in configs.differing(runs[0], other)})
    keys = [key for key in keys if key.split(".")[0] not in NO_DIFFERENCE]
    keys = [key for key in keys if all(configs.has(run, key) for run in runs)]
    chosen = [key.removeprefix("options.") for key in keys if key.startswith("options.")]
    short = [key for key in keys if key.startswith("options.") or key.split(".")[0] not in chosen]
    brief, full = ([_written(run, which) for run in runs] for which in (short, keys))
    return brief if len(set(brief)) == len(set(full)) else full


def _written(run: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return the settings as overrides; a path, which may name a patient, as the start of its SHA-256."""
    values = {key.removeprefix("options."): configs.value_of(run, key) for key in keys}
    return " ".join(f"{key}={shown_value(value)}" for key, value in values.items())


def shown_value(value: str) -> str:
    """Return a setting as a page may show it: a path, which may name a patient, as the start of its SHA-256."""
    return hashlib.sha256(value.encode()).hexdigest()[:8] if "/" in value else value


def gather_documents(folders: Iterable[Path]) -> list[Path]:
    """Return the records of all runs of `clinfed classify` below the folders."""
    return [path for folder in folders for path in sorted(folder.glob(f"*/seed-*/*/{documents.FILE}"))]


def as_results(found: Sequence[Found]) -> list[Result]:
    """Return the runs by row and seed."""
    rows: dict[str, dict[int, Finished]] = {}
    for _, name, finished in found:
        rows.setdefault(name, {})[finished.record["seeds"]["run"]] = finished
    return [Result(name, runs) for name, runs in rows.items()]
