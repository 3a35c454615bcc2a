"""What a run cannot be without on this machine, checked before anything is started."""

from pathlib import Path

from clinfed.disk import refuse_unwritable
from clinfed.errors import UserError
from clinfed.home import runs_folder
from configs import Run


def refuse_resume(run: Run) -> None:
    """Raise UserError where a command that trains in one go is told to go on with a run."""
    if run.resume:
        raise UserError(f"resume={run.resume}: only `clinfed simulate` resumes a run; leave it out")


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
