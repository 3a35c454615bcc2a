"""clinfed train rounds=3 adapter.r=16: the same training in one place, over all notes and epochs, without Flower.

One optimiser and one schedule run through all rounds x local_epochs epochs. What it is compared with, the federation,
differs only in where the notes are and in what happens between rounds; everything else is the same code.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.clinic import Clinic, Simulation
from client.warm import WORKER, Warm
from client.work import judge, train_epochs
from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import read_state
from clinfed.cli import add_overrides
from clinfed.cli.simulate import refuse_missing_paths
from clinfed.evaluation import record as records
from clinfed.evaluation.report.tables import closing_table, round_line
from clinfed.protocol import Answer
from configs import absolute_paths
from server.model import Model, new_run_folder
from server.recording import Recorder
from server.rounds import Round

POOLED = "pooled"  # the name of partition=pooled's one clinic, from which the order of notes and dropout follow


@dataclass(frozen=True)
class Pooled:
    """What is held in one place."""

    manifest: Mapping[str, Any]
    lost: Mapping[str, Mapping[str, int]]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser("train", help="train in one place, over all notes, without Flower")
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Train and judge; progress goes to standard output, with --json to standard error."""
    out = sys.stderr if args.json else sys.stdout
    path = train(absolute_paths(args.overrides, Path.cwd()), lambda text: print(text, file=out, flush=True))
    if args.json:
        print(json.dumps(records.summary(records.read(path), path)), flush=True)
    return 0


def train(overrides: list[str], show: Callable[[str], None]) -> Path:
    """Train on all notes, judge on validation and test; return the run record's path."""
    started = time.perf_counter()
    cache = Warm(overrides)
    refuse_missing_paths(cache.run)
    show("loading base and notes")
    clinic = pooled(cache)
    tagger = cache.tagger(len(clinic.codes))
    # The first state is drawn on the CPU, as the server of a federation does; a GPU would draw other numbers.
    model = Model(cache.run, tagger=tagger if cache.run.training.device == "cpu" else None)
    state, prints = model.build()
    recorder = Recorder(cache.run, clinic.codes, prints)
    recorder.seconds["start"] = time.perf_counter() - started
    recorder.add_round(train_all(cache, clinic, state, show))
    show(round_line(recorder.rounds[0]))
    show("judging on test")
    state = read_state(tagger)
    closing = judged(cache, clinic, state, "test")
    held = Pooled({POOLED: clinic.manifest()}, {"train": cache.encoded(clinic, "train").lost})
    record = recorder.finish(closing, state, held, system="centralised", seconds=time.perf_counter() - started)
    folder = new_run_folder(cache.run)
    table = closing_table(record)
    model.save(folder / "adapter", state, table)
    records.write(folder / "record.json", record)
    show(f"{table}\nrun record: {folder / 'record.json'}")
    return folder / "record.json"


def pooled(cache: Warm) -> Clinic:
    """Return all notes as one clinic's; they are dealt to none, for a partition may not know what to do with one."""
    with cache.loading():
        simulation = Simulation.pooled(cache.run)
        return simulation.clinic(0, cache.run.corpus.train_fraction)


def train_all(cache: Warm, clinic: Clinic, state: AdapterState, show: Callable[[str], None]) -> Round:
    """Train in place from the state through all epochs; return what happened as if it had been one round."""
    started = time.perf_counter()
    total = cache.run.rounds * cache.run.training.local_epochs

    def report(epoch: int, loss: float) -> None:
        show(f"epoch {epoch + 1}/{total} | loss {loss:.3f} | {time.perf_counter() - started:.1f} s")

    training = train_epochs(cache, clinic, state, range(total), total, report)
    result = training.result
    figures = {"num_examples": result.notes, "loss": result.loss, "steps": result.steps, "tokens": result.tokens}
    trained = answer(cache, {**figures, "train_s": result.seconds, "training_peak_bytes": training.peak_bytes})
    state = read_state(cache.tagger(len(clinic.codes)))
    validated = judged(cache, clinic, state, "validation")
    return Round(1, [trained], validated, 0.0, time.perf_counter() - started)


def judged(cache: Warm, clinic: Clinic, state: AdapterState, split: str) -> list[Answer]:
    """Return the judgement of the state on one split, none where the split holds no notes."""
    if not clinic.split(split):
        return []
    judgement = judge(cache, clinic, state, split, closing=split == "test")
    figures = {"evaluate_s": judgement.seconds, "lexicon_s": judgement.lexicon_s}
    return [answer(cache, {**figures, "inference_peak_bytes": judgement.peak_bytes}, judgement.counts)]


def answer(cache: Warm, figures: dict[str, float], counts: protocol.Judged | None = None) -> Answer:
    """Return figures and counts in the form in which a clinic's come by message."""
    report = {**figures, "load_s": cache.take_load_s(), "base_loads": cache.base_loads}
    return Answer(POOLED, {"worker": WORKER}, report, counts=counts or {})
