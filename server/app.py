"""The coordinator's side of Flower: compose the run, and coordinate it in a folder of its own."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from clinfed import disk, fingerprints
from clinfed.backends.flower import FlowerBackend
from clinfed.errors import UserError
from configs import Only, Run, load, refuse_relative_paths
from configs.migrations import notices
from server import settings
from server.coordinator import coordinate
from server.progress import Reporter, Say, say
from server.registered import manifest_of

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run once; a user's mistake is one line, and the run ends as failed."""
    reporter = Reporter(str(context.run_config.get("status", "")))
    try:
        run = read_run(context, reporter.say)
        fingerprints.refuse_foreign_code(Path.cwd())  # simulated workers search this folder first
        backend = FlowerBackend(grid)
        own = settings.of_environment() if backend.remote else settings.SIMULATED
        manifest = manifest_of(str(context.run_config.get("manifest", "")))
        reporter.complete(coordinate(backend, run, reporter.say, reporter.begun, own, manifest))
    except UserError as error:
        reporter.refused(error)
        raise
    except OSError as error:
        if said := disk.mistake(error, unnamed="a file of the run's folder"):
            reporter.refused(UserError(said))
        raise


def read_run(context: Context, say: Say = say) -> Run:
    """Return the run that Flower's run config describes."""
    config = context.run_config
    return compose(shlex.split(str(config["overrides"])), str(config.get("labels", "")), say)


def compose(overrides: Sequence[str], labels: str, say: Say = say) -> Run:
    """Return the run of a federation. Raises: UserError for overrides that it cannot have.

    labels: the coordinator's own copy of the shared list of codes, for a federation of real sites, where no override
    may name a file of the corpus.
    """
    refuse_relative_paths(overrides)
    for line in notices(override.partition("=")[0] for override in overrides):
        say(line)
    run = load(overrides)
    if run.only != Only():
        raise UserError("only.*: chooses notes for `clinfed train`; a federation's clinics train on their own")
    if run.backend != "flower":
        raise UserError(
            f"backend={run.backend}: Flower runs these clinics; leave backend out, or use `clinfed simulate`"
        )
    return replace(run, corpus=replace(run.corpus, labels=labels)) if labels else run
