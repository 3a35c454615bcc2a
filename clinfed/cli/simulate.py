"""clinfed simulate rounds=3 adapter.r=16: the main job, in a simulation of its own."""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.cli.progress import Bar, rounds_done
from clinfed.clinic.data import refuse_more_clinics_than_patients
from clinfed.disk import refuse_unwritable
from clinfed.errors import UserError
from clinfed.evaluation import artefacts
from clinfed.experiments.launch import DEFAULT_CLINICS, FOLDER, Resources, simulate
from clinfed.home import clinic_folder, kept_file, runs_folder
from clinfed.runs import checkpoints, tracking
from clinfed.runs import record as records
from configs import Run, absolute_paths, least_overrides, load, resolved, to_overrides
from configs.overrides import UNTOLD, parse

READILY_STARTED = 16  # clinics; to read the notes first takes less time than to start more


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser("simulate", help="train adapters across simulated clinics, and judge them")
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the simulation; progress goes to standard output, with --json to standard error."""
    overrides = as_resumed(absolute_paths(args.overrides, Path.cwd()))
    chosen = load(overrides)
    refuse_unready(chosen)
    tracking.check(chosen.tracking)
    out = sys.stderr if args.json else sys.stdout
    if chosen.clinics > READILY_STARTED:
        refuse_more_clinics_than_patients(chosen, chosen.corpus.notes())
    settings = chosen.training
    gpu = settings.device.startswith("cuda")
    resources = Resources(clinics=chosen.clinics or DEFAULT_CLINICS, threads=settings.threads, gpu=gpu)
    before = set(clinic_folder("errors").iterdir())
    shown: list[str] = []

    def look() -> tuple[float, str] | None:
        folder = run_folder_in(shown)
        return rounds_done(folder) if folder else None

    def show(line: str) -> None:
        shown.append(line)
        bar.say(line, out)

    try:
        with Bar(1, look) as bar:
            path = run_clinics(overrides, chosen, resources, show)
    except UserError as error:
        raise with_detail(error, set(clinic_folder("errors").iterdir()) - before) from None
    finally:
        if folder := interrupted(shown):
            print(f"go on with it: clinfed simulate resume={folder}", file=sys.stderr)
    collect_kept(path.parent, records.read(path))
    if args.json:
        print(json.dumps(records.summary(records.read(path), path)), flush=True)
    return 0


def run_clinics(overrides: Sequence[str], run: Run, resources: Resources, show: Callable[[str], None]) -> Path:
    """Do the run with the backend that it names; return its record's path."""
    if run.backend == "flower":
        return simulate(overrides, resources, show)
    from clinfed.backends.local import LocalBackend
    from server.coordinator import coordinate

    return coordinate(LocalBackend(overrides, resources.clinics), run, show)


def as_resumed(overrides: Sequence[str], labels: str | None = None) -> list[str]:
    """Return all overrides of the run that resume= names, its folder among them; where none is named, those given.

    labels: at real sites, the coordinator's own list of codes; what a site refuses to be told is then left out.
    Raises: UserError where there is no such run, or those given say something else than its checkpoint.
    """
    given = parse(overrides)
    if not given.get("resume"):
        return list(overrides)
    folder = checkpoints.find(Path(given["resume"]), runs_folder())
    saved = checkpoints.load(folder / checkpoints.FOLDER).config
    for group, option in saved["options"].items():
        if given.get(group, option) != option:
            raise UserError(f"resume: {group} is {given[group]} now and {option} in the checkpoint; leave {group} out")
    had = to_overrides(saved) if labels is None else least_overrides(saved, without=UNTOLD)
    merged = [*had, *overrides, f"resume={folder}"]
    now = resolved(load(merged))
    if labels:
        now["corpus"]["labels"] = labels
    checkpoints.refuse_other_settings(now, saved)
    return [f"{key}={value}" for key, value in parse(merged).items()]


def collect_kept(folder: Path, record: records.RunRecord) -> None:
    """Put what this machine's simulated clinics have kept of judging a run's adapter beside its record.

    Where that was done, nothing is left to do; where a command was stopped before it, it is done later.
    """
    for file in artefacts.FILES:
        clinics = {clinic: kept_file(record["adapter_sha256"], clinic, file) for clinic in record["manifest"]}
        artefacts.collect(folder / file, clinics)
    if record["chosen_round"] != record["rounds"][-1]["round"]:  # of which the record has the validation scores
        (folder / artefacts.VALIDATION_UNITS).unlink(missing_ok=True)


def interrupted(shown: Sequence[str]) -> Path | None:
    """Return the folder of a run that has no record but a checkpoint, by the lines that its server has printed."""
    folder = run_folder_in(shown)
    if folder is None or (folder / "record.json").exists():
        return None
    return folder if any(folder.glob(f"{checkpoints.FOLDER}/round-*")) else None


def run_folder_in(shown: Sequence[str]) -> Path | None:
    """Return the folder of a run, by the lines that its server has printed."""
    return next((Path(line.removeprefix(FOLDER)) for line in shown if line.startswith(FOLDER)), None)


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


def refuse_resume(run: Run) -> None:
    """Raise UserError where a command that trains in one go is told to go on with a run."""
    if run.resume:
        raise UserError(f"resume={run.resume}: only `clinfed simulate` goes on with a run; leave it out")


def refuse_unready(run: Run) -> None:
    """Raise UserError or OSError for what the run cannot be without on this machine, before anything is started."""
    refuse_missing_paths(run)
    refuse_unwritable(Path(run.output) if run.output else runs_folder())
    if run.training.device != "cpu":
        from clinfed.training.device import refuse_absent  # torch: on a CPU nothing of it is needed here

        refuse_absent(run.training.device)


def refuse_missing_paths(run: Run) -> None:
    """Raise UserError for a path that is not there, before anything is started."""
    paths = {"corpus.path": run.corpus.path, "corpus.labels": run.corpus.labels, "central.notes": run.central.notes}
    for key, path in (paths | {"resume": run.resume}).items():
        if path and not Path(path).exists():
            raise UserError(f"{key}={path}: no such file or folder; correct the path")
    run.corpus.codes()  # its own complaint, where the list of codes is missing
