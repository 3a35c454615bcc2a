"""Centralised, federated and local-only training on one budget, in one table.

One budget: each row has as many epochs and, where notes of several clinics are in one place, takes as many
windows a step as those clinics at once. Each row is a run of `clinfed train` or `clinfed simulate` with a folder of its
own; a run whose record is there is not run again, and a federated one that was interrupted goes on where it was. So a
comparison can be stopped and resumed, and the table says what is pending. An experiment may let its rows choose
settings, with equal trials (trials.py).
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import configs
from clinfed.errors import UserError
from clinfed.evaluation.report.comparison import comparison_table
from clinfed.evaluation.report.documents import document_table, read_finished
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.report.tables import Table
from clinfed.evaluation.report.terminal import wrapped
from clinfed.experiments import trials
from clinfed.experiments.launch import signals_as_exceptions
from clinfed.experiments.progress import Bar
from clinfed.experiments.ready import refuse_unready
from clinfed.experiments.rows import (
    ROWS,
    Row,
    begun,
    plan_rows,
    record_of,
    seeds_begun,
    select,
    unfinished,
    with_settings,
)
from clinfed.experiments.simulate import collect_artefacts
from clinfed.home import home
from clinfed.runs import checkpoints, status
from clinfed.runs.machine import cores
from clinfed.runs.record import read as read_record

if TYPE_CHECKING:
    from clinfed.training.settings import Training

SEEDS = "compare.seeds="
OPPONENTS = ("lexicons", "ensemble")  # commands of clinfed.experiments.opponents
OWN = ("seed=", "output=", "only.", "resume=")  # what a comparison sets by itself


@dataclass(frozen=True)
class Comparison:
    """What a comparison has come to: its table, of the rows that were asked for, and the rows whose runs failed."""

    folder: Path
    table: Table
    absent: dict[str, frozenset[int]]  # row -> seeds that deal it no training note
    failed: list[str]

    @property
    def file(self) -> Path:
        """Return the file that holds the table of all rows that were ever begun."""
        return self.folder / "comparison.md"


def compare(overrides: Sequence[str], out: IO[str], *, only_table: bool = False) -> Comparison:
    """Run what is pending and write the table; with only_table, run nothing.

    overrides: with absolute paths only; compare.seeds= and compare.rows= among them. out: where progress is printed.
    """
    seeds, wanted, overrides = split_options(overrides)
    chosen = configs.load(overrides)
    refuse_unready(chosen)
    folder = comparison_folder(overrides)
    every = list(plan_rows(chosen, range(max(seeds, seeds_begun(folder)))))
    plan = [with_settings(row, overrides) for row in select(every, wanted)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.txt").write_text("\n".join(overrides) + "\n", encoding="utf-8")
    failed = [] if only_table else run_all(plan, seeds, overrides, folder, side_by_side(chosen.training), out)
    decided, waiting, choices = trials.settled(plan, overrides, folder)
    pending = unfinished(decided, range(seeds), folder) + [(row, seed) for row in waiting for seed in range(seeds)]
    budget = [*trials.budget_lines(decided, choices)]
    table = tables([(row, range(seeds)) for row in decided], pending, folder, budget)
    absent = {row.name: found for row in plan if (found := row.absent & set(range(seeds)))}
    done = Comparison(folder, table, absent, failed)
    kept, _, choices = trials.settled(begun(every, plan, overrides, folder), overrides, folder)
    budget = [*trials.budget_lines(kept, choices)]
    whole = tables([(row, row.seeds(folder)) for row in kept], pending, folder, budget)
    done.file.write_text(whole.markdown + "\n", encoding="utf-8")
    return done


def run_all(
    plan: Sequence[Row], seeds: int, overrides: Sequence[str], folder: Path, at_once: int, out: IO[str]
) -> list[str]:
    """Run the trials that are missing, then the rows with what they chose; return the names of those that failed."""
    with signals_as_exceptions(), checkpoints.held(folder / checkpoints.FOLDER):
        failed: list[str] = []
        if tried := trials.unfinished_trials(plan, overrides, folder):
            with Bar(len(tried)) as bar:
                bar.say(f"{len(tried)} trials to do, to choose settings by", out)
                failed += run_pending(tried, overrides, folder / trials.FOLDER, at_once, bar, out)
        decided, _, choices = trials.settled(plan, overrides, folder)
        trials.adopt(choices, decided, folder)
        jobs = unfinished(decided, range(seeds), folder)
        with Bar(len(jobs)) as bar:
            return failed + run_pending(jobs, overrides, folder, at_once, bar, out)


def tables(
    shown: Sequence[tuple[Row, Iterable[int]]],
    pending: Sequence[tuple[Row, int]],
    folder: Path,
    budget: Sequence[str] = (),
) -> Table:
    """Return the table of strict spans and, below it, that of documents. shown: rows and their seeds.

    budget: lines on what all rows were given.
    """
    spans = [collect(row, seeds, folder) for row, seeds in shown if row.spans]
    both = []
    if spans:
        both.append(
            comparison_table(
                spans, pending=[f"{row.name} (seed {seed})" for row, seed in pending if row.spans], budget=budget
            )
        )
    for row, seeds in shown:
        if not row.spans:
            paths = [path for seed in seeds if (path := row.finished(folder, seed)) is not None]
            both.append(document_table(read_finished(paths)))
            if waiting := [f"{row.name} (seed {seed})" for row, seed in pending if not row.spans]:
                line = f"pending: {', '.join(waiting)}"
                both.append(Table("\n".join(wrapped([line])), line))
    rows = {key: value for table in both for key, value in table.rows.items()}
    filled = [table for table in both if table.text]
    text, markdown = ("\n\n".join(getattr(each, form) for each in filled) for form in ("text", "markdown"))
    return Table(text, markdown, rows)


def split_options(overrides: Iterable[str]) -> tuple[int, list[str], list[str]]:
    """Return the number of seeds, the wanted rows (all where none is named), and the other overrides."""
    seeds, wanted, others = 1, [], []
    for override in overrides:
        if override.startswith(SEEDS):
            number = override.removeprefix(SEEDS)
            if not (number.isascii() and number.isdigit() and int(number)):
                raise UserError(f"{override}: expected a number of seeds, from 1")
            seeds = int(number)
        elif override.startswith(ROWS):
            wanted = [name.strip() for name in override.removeprefix(ROWS).strip("[]").split(",")]
        elif override.startswith(OWN):
            raise UserError(f"{override}: a comparison sets this itself for each of its runs; leave it out")
        else:
            others.append(override)
    return seeds, wanted, others


def comparison_folder(overrides: Sequence[str]) -> Path:
    """Return the folder of the comparison with these overrides, whatever their order."""
    digest = hashlib.sha256("\n".join(sorted(overrides)).encode()).hexdigest()[:12]
    return home() / "comparisons" / digest


def side_by_side(training: "Training") -> int:
    """Return how many plain loops may run at once: those that have cores of their own; one on an accelerator."""
    return max(1, cores() // training.threads) if training.device == "cpu" else 1


def run_pending(
    pending: Sequence[tuple[Row, int]],
    overrides: Sequence[str],
    folder: Path,
    at_once: int,
    bar: Bar,
    out: IO[str],
) -> list[str]:
    """Run each row and seed; return the names of those that failed.

    Seed by seed, so that a table of fewer seeds is whole as early as can be. `at_once` plain loops share the cores; a
    simulation has workers of its own and runs alone. When this ends early, so do the runs that are going on.
    """
    done, failed = 0, []
    children = Children()

    def run_one(job: tuple[Row, int]) -> tuple[Row, int, float, str]:
        row, seed = job
        started = time.monotonic()
        error = run_row(row, seed, overrides, folder, children)
        return row, seed, time.monotonic() - started, error

    bar.say(f"{len(pending)} runs to do, {folder}", out)
    bar.set(0, f"0 of {len(pending)} runs")
    for seed in sorted({seed for _, seed in pending}):
        for command, jobs in (("train", at_once), ("simulate", 1), ("classify", 1), ("lexicons", 1), ("ensemble", 1)):
            chosen = [(row, of) for row, of in pending if of == seed and row.command == command]
            with ThreadPoolExecutor(jobs) as pool, ended_early(pool, children):
                for row, of, seconds, error in pool.map(run_one, chosen):
                    done += 1
                    bar.set(done, f"{done} of {len(pending)} runs")
                    bar.say(f"[{done}/{len(pending)}] {row.name}, seed {of}: {error or 'done'}, {seconds:.0f} s", out)
                    if error:
                        failed.append(row.name)
    return failed


class Children:
    """The processes of a comparison, started by several threads. Once they are ended, no other starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def run(self, command: Sequence[str], log: IO[str], status_file: Path) -> int:
        """Return the exit code of a command, whose output goes to the log. status_file: where it says what is wrong."""
        environment = os.environ | {status.VARIABLE: str(status_file)}
        with self._lock:
            if self._ended:
                return -signal.SIGTERM
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def end(self) -> None:
        """Ask all to end."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


@contextmanager
def ended_early(pool: ThreadPoolExecutor, children: Children) -> Iterator[None]:
    """End the pool's processes where the block ends by an exception; else they would go on alone."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        children.end()
        raise


def run_row(row: Row, seed: int, overrides: Sequence[str], folder: Path, children: Children) -> str:
    """Run one row with one seed; return "", or why it failed."""
    target = row.folder(folder, seed)
    target.mkdir(parents=True, exist_ok=True)
    settings = [*overrides, *row.overrides, f"seed={seed}", f"output={target}"]
    if begun := row.interrupted(folder, seed):
        settings = [f"resume={begun}"]
    program = "clinfed.experiments.opponents" if row.command in OPPONENTS else "clinfed.cli"
    command = [sys.executable, "-m", program, row.command, *settings]
    if row.members:
        alone = [member for member in row.members if seed not in member.absent]
        records = [record_of(member.folder(folder, seed)) for member in alone]
        if lacking := [member.name for member, path in zip(alone, records, strict=True) if path is None]:
            return f"failed: no run of {', '.join(lacking)}; run these rows first"
        command += ["--", *(str(path.parent) for path in records if path)]
    log, said = target / "run.log", target / "status.json"
    said.unlink(missing_ok=True)
    with log.open("w", encoding="utf-8") as output:
        code = children.run(command, output, said)
    return "" if code == 0 else f"failed ({code}): {status.read(said).error or f'see {log}'}"


def collect(row: Row, seeds: Iterable[int], folder: Path) -> Result:
    """Return what is finished of a row."""
    paths = {seed: path for seed in seeds if (path := row.finished(folder, seed)) is not None}
    for path in paths.values():  # a comparison may have been stopped between a run's record and this
        collect_artefacts(path.parent, read_record(path))
    return Result(row.name, {seed: Finished.of(path) for seed, path in paths.items()})
