"""The coordinator's side of Flower: compose the run, and coordinate it in a folder of its own."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from clinfed import disk, fingerprints
from clinfed.errors import UserError
from configs import Only, Run, load, refuse_relative_paths
from server import checkpoints
from server.coordinator import Coordinator
from server.model import run_folder
from server.progress import say, say_error

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run once; a user's mistake is one line, and the run ends as failed."""
    try:
        coordinate(grid, context)
    except UserError as error:
        say_error(error)
        raise
    except OSError as error:
        if said := disk.mistake(error, unnamed="a file of the run's folder"):
            say_error(UserError(said))
        raise


def coordinate(grid: Grid, context: Context) -> None:
    """Do the whole run, in a new folder or in that of the run that is resumed."""
    run = read_run(context)
    fingerprints.refuse_foreign_code(Path.cwd())  # simulated workers search this folder first
    folder = run_folder(run)
    with checkpoints.held(folder / checkpoints.FOLDER):
        say(f"run folder: {folder}")
        Coordinator(folder, grid, run).run_all()


def read_run(context: Context) -> Run:
    """Return the run that Flower's run config describes."""
    return compose(shlex.split(str(context.run_config["overrides"])), str(context.run_config.get("labels", "")))


def compose(overrides: Sequence[str], labels: str) -> Run:
    """Return the run of a federation. Raises: UserError for overrides that it cannot have.

    labels: the coordinator's own copy of the shared list of codes, for a federation of real sites, where no override
    may name a file of the corpus.
    """
    refuse_relative_paths(overrides)
    run = load(overrides)
    if run.only != Only():
        raise UserError("only.*: chooses notes for `clinfed train`; a federation's clinics train on their own")
    if labels:
        run.corpus = replace(run.corpus, labels=labels)
    return run
