"""The main job: a federation of simulated clinics, with Flower's engine or in this process."""

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO

from clinfed.clinic.data import refuse_more_clinics_than_patients
from clinfed.errors import UserError
from clinfed.evaluation import artefacts, siblings
from clinfed.evaluation.report.siblings import sibling_lines
from clinfed.experiments import launch
from clinfed.experiments.launch import DEFAULT_CLINICS, Resources
from clinfed.experiments.progress import Bar, rounds_done
from clinfed.experiments.ready import refuse_unready
from clinfed.experiments.resume import as_resumed
from clinfed.home import artefact_file, clinic_folder
from clinfed.runs import checkpoints, tracking
from clinfed.runs import record as records
from configs import Run, load

READILY_STARTED = 16  # clinics; to read the notes first takes less time than to start more


def simulate(overrides: Sequence[str], out: IO[str]) -> Path:
    """Run the simulation, or go on with the one that resume= names; return the run record's path.

    overrides: with absolute paths only. out: where progress is printed.
    """
    overrides = as_resumed(overrides)
    chosen = load(overrides)
    refuse_unready(chosen)
    tracking.check(chosen.tracking)
    if chosen.clinics > READILY_STARTED:
        refuse_more_clinics_than_patients(chosen, chosen.corpus.notes())
    gpu = chosen.training.device.startswith("cuda")
    resources = Resources(clinics=chosen.clinics or DEFAULT_CLINICS, threads=chosen.training.threads, gpu=gpu)
    before = set(clinic_folder("errors").iterdir())
    begun: list[Path] = []  # the run's folder, once it has one

    def look() -> tuple[float, str] | None:
        return rounds_done(begun[0]) if begun else None

    try:
        with Bar(1, look) as bar:
            path = run_clinics(overrides, chosen, resources, lambda line: bar.say(line, out), begun.append)
    except UserError as error:
        raise with_detail(error, set(clinic_folder("errors").iterdir()) - before) from None
    finally:
        if begun and interrupted(begun[0]):
            print(f"resume it with: clinfed simulate resume={begun[0]}", file=sys.stderr)
    collect_artefacts(path.parent, records.read(path))
    for line in sibling_lines(siblings.read(path.parent)):
        print(line, file=out)
    return path


def run_clinics(
    overrides: Sequence[str],
    run: Run,
    resources: Resources,
    show: Callable[[str], None],
    begun: Callable[[Path], None],
) -> Path:
    """Do the run with the backend that it names; return its record's path.

    show: takes each line for the user. begun: takes the run's folder, once it has one.
    """
    if run.backend == "flower":
        return launch.simulate(overrides, resources, show, begun)
    from clinfed.backends.local import LocalBackend
    from server.coordinator import coordinate

    return coordinate(LocalBackend(overrides, resources.clinics), run, show, begun)


def collect_artefacts(folder: Path, record: records.RunRecord) -> None:
    """Put what this machine's simulated clinics have kept of evaluating a run's adapter beside its record.

    Where that was done, nothing is left to do; where a command was stopped before it, it is done later.
    """
    for file in artefacts.FILES:
        clinics = {clinic: artefact_file(record["adapter_sha256"], clinic, file) for clinic in record["manifest"]}
        artefacts.collect(folder / file, clinics)
    if record["chosen_round"] != record["rounds"][-1]["round"]:  # of which the record has the validation scores
        (folder / artefacts.VALIDATION_UNITS).unlink(missing_ok=True)


def interrupted(folder: Path) -> bool:
    """Return whether the folder is of a run that has no record but a checkpoint."""
    return not (folder / "record.json").exists() and any(folder.glob(f"{checkpoints.FOLDER}/round-*"))


def with_detail(error: UserError, details: Collection[Path]) -> UserError:
    """Return the error with what the failed clinic has kept to itself: a simulated one is on the user's own machine."""
    if not details:
        return error
    newest = max(details, key=lambda path: path.stat().st_mtime_ns)
    last = newest.read_text("utf-8").rstrip().rpartition("\n")[2]
    name, _, text = last.partition(": ")
    if name.startswith("clinfed.") and text:  # a user's mistake, in one line that quotes no note
        return UserError(text)
    return UserError(f"{error}: {newest}")
