"""The coordinator's side of Flower: compose the run, greet the clinics, run the rounds, judge once on test, record."""

import shlex
import time
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from clinfed import fingerprints, protocol
from clinfed.errors import UserError
from clinfed.evaluation import record as records
from clinfed.evaluation import tracking
from clinfed.evaluation.report import holdings
from clinfed.evaluation.report.tables import closing_table, round_line
from clinfed.home import home
from configs import Only, Run, load, refuse_relative_paths, resolved
from server import checkpoints
from server.central import PublicSet
from server.exchange import Exchange
from server.federation import Federation, gather
from server.model import Model, new_run_folder
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
    tracking.check(run.tracking)
    folder = new_run_folder(run)
    tracker = tracking.start(run.tracking, folder, home(), {"overrides": str(context.run_config["overrides"])})
    model = Model(run)
    exchange = Exchange(grid, code=fingerprints.code(), deadline_s=DEADLINE_S)
    say("clinics load base and notes")
    federation = gather(exchange, run, expected=model.build)
    recorder = Recorder(run, model.codes, model.fingerprints)
    recorder.add_workers(federation.workers)
    recorder.seconds["start"] = time.perf_counter() - started
    say(describe(federation))

    public = PublicSet(run, model.codes) if run.central.notes else None

    public_judged: dict[int, records.Judgement] = {}

    def keep(server: ServerState) -> None:
        checkpoints.save(folder / "state", server, run_id=folder.name, config=resolved(run))
        if public is not None:
            counts = public.judge(model.tagger, server.adapter)
            public_judged[server.round] = records.judgement({"public set": counts})

    def show(done: Round) -> None:
        entry = recorder.add_round(done)
        if done.number in public_judged:
            entry["public"] = public_judged[done.number]
        tracker.add_round(entry)
        say(round_line(entry) + (f" | public {entry['public']['micro']['f1']:.3f}" if "public" in entry else ""))

    server = run_rounds(exchange, federation, run, model.start(), keep, show)
    say("judging on test")
    seats = federation.with_notes("test")
    closing = exchange.evaluate(seats, server.adapter, server.round, split="test", closing=True)
    seconds = time.perf_counter() - started
    record = recorder.finish(closing, server.adapter, federation, system=protocol.FEDERATED, seconds=seconds)
    records.write_counts(folder / "counts.json", recorder.counts)
    write_down(folder, record, model, server)
    tracker.finish(record)


def write_down(folder: Path, record: records.RunRecord, model: Model, server: ServerState) -> None:
    """Write adapter, record and picture; print the closing table and, last, where the record is."""
    table = closing_table(record)
    model.save(folder / "adapter", server.adapter, table)
    records.write(folder / "record.json", record)
    holdings.draw(record["manifest"], folder / "holdings.svg")
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
    if run.only != Only():
        raise UserError("only.*: chooses notes for `clinfed train`; a federation's clinics train on their own")
    if labels := str(context.run_config.get("labels", "")):
        run.corpus = replace(run.corpus, labels=labels)
    return run


def describe(federation: Federation) -> str:
    """Return one line on who takes part, with training notes."""
    seats = ", ".join(f"{seat.clinic} {federation.notes[seat.clinic]['train']}" for seat in federation.seats)
    out = f"; {federation.sitting_out} without notes sit out" if federation.sitting_out else ""
    return f"{len(federation.seats)} clinics (training notes): {seats}{out}"
