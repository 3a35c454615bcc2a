"""The coordinator's side of Flower: compose the run, greet the clinics, run the rounds, judge once on test, record."""

import shlex
import time
import uuid
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from clinfed import fingerprints, protocol
from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.evaluation import record as records
from clinfed.evaluation.report.tables import closing_table, round_line
from clinfed.home import runs_folder
from configs import Run, load, refuse_relative_paths, resolved
from server import checkpoints
from server.exchange import Exchange
from server.federation import Federation, gather
from server.progress import say, say_error, say_record
from server.recording import Recorder
from server.rounds import Round, run_rounds
from strategies.base import ServerState

app = ServerApp()

DEADLINE_S = 6 * 3600.0  # for one answer; a clinic that died is reported by Flower long before


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run once; a user's mistake is one line, and the run ends as failed."""
    try:
        coordinate(grid, context)
    except UserError as error:
        say_error(error)
        raise


def coordinate(grid: Grid, context: Context) -> None:
    """Run all rounds and write the record."""
    started = time.perf_counter()
    run = read_run(context)
    fingerprints.refuse_foreign_code(Path.cwd())  # simulated workers search this folder first
    folder = new_run_folder(run)
    model = Model(run)
    exchange = Exchange(grid, code=fingerprints.code(), deadline_s=DEADLINE_S)
    say("clinics load base and notes")
    federation = gather(exchange, run, expected=model.build)
    recorder = Recorder(run, model.codes, model.fingerprints)
    recorder.add_workers(federation.workers)
    recorder.seconds["start"] = time.perf_counter() - started
    say(describe(federation))

    def keep(server: ServerState, done: Round) -> None:
        checkpoints.save(folder / "state", server, run_id=folder.name, config=resolved(run))
        say(round_line(recorder.add_round(done)))

    server = run_rounds(exchange, federation, run, model.start(), keep)
    say("judging on test")
    seats = federation.with_notes("test")
    closing = exchange.evaluate(seats, server.adapter, server.round, split="test", closing=True)
    record = recorder.finish(
        closing,
        system=protocol.FEDERATED,
        adapter_sha256=server.adapter.sha256(),
        trainable=server.adapter.num_elements,
        manifest=federation.manifest,
        lost=federation.lost,
        seconds=time.perf_counter() - started,
    )
    table = closing_table(record)
    model.save(folder / "adapter", server.adapter, table)
    records.write(folder / "record.json", record)
    say(table)
    say_record(folder / "record.json")


def read_run(context: Context) -> Run:
    """Return the run that Flower's run config describes.

    labels: the coordinator's own copy of the shared list of codes, for a federation of real sites, where no override
    may name a file of the corpus.
    """
    overrides = shlex.split(str(context.run_config["overrides"]))
    refuse_relative_paths(overrides)
    run = load(overrides)
    if labels := str(context.run_config.get("labels", "")):
        run.corpus = replace(run.corpus, labels=labels)
    return run


def new_run_folder(run: Run) -> Path:
    """Return a new folder for the run's record, adapter and state."""
    parent = Path(run.output) if run.output else runs_folder()
    folder = parent / f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder


def describe(federation: Federation) -> str:
    """Return one line on who takes part, with training notes."""
    seats = ", ".join(f"{seat.clinic} {federation.notes[seat.clinic]['train']}" for seat in federation.seats)
    out = f"; {federation.sitting_out} without notes sit out" if federation.sitting_out else ""
    return f"{len(federation.seats)} clinics (training notes): {seats}{out}"


class Model:
    """The server's own copy of the model: for the first state, the fingerprints, and the adapter's folder."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.codes = tuple(run.corpus.codes())
        self.fingerprints: dict[str, str] = {}

    def build(self) -> tuple[AdapterState, dict[str, str]]:
        """Return the first state, drawn from the run's seed, and the fingerprints of this side."""
        from clinfed.adapters.weights import read_state
        from clinfed.training.model import build

        run = self._run
        self._tagger = build(run.base, run.adapter, run.task, len(self.codes), seed=run.seed)
        self._first = read_state(self._tagger)
        self.fingerprints = fingerprints.of_run(run, self.codes, self._first.shapes)
        return self._first, self.fingerprints

    def start(self) -> ServerState:
        """Return the state before the first round that is left to run."""
        if not self._run.resume:
            return self._run.strategy.start(self._first)
        server = checkpoints.load(Path(self._run.resume))
        if server.adapter.shapes != self._first.shapes:
            raise UserError(f"resume={self._run.resume}: its adapter has other shapes; give the overrides of that run")
        if server.round >= self._run.rounds:
            raise UserError(f"resume={self._run.resume}: has {server.round} rounds already; give more with rounds=")
        return server

    def save(self, folder: Path, state: AdapterState, results: str) -> None:
        """Write the adapter as a PEFT folder with head, label map and card."""
        from clinfed.adapters.folder import Card, save
        from clinfed.adapters.weights import write_state

        write_state(self._tagger, state)
        run = self._run
        card = Card(
            base=run.base.public_name,
            base_revision=run.base.revision,
            method=run.options["adapter"],
            task=run.options["task"],
            license=run.base.license,
            results=f"```\n{results}\n```",
        )
        save(folder, self._tagger, codes=self.codes, card=card)
