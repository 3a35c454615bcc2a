"""One run from its first greeting to its record: greet the clinics, run the rounds, judge once on test, write down."""

import time
import warnings
from pathlib import Path

from flwr.serverapp import Grid
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed import fingerprints, protocol
from clinfed.adapters.state import AdapterState
from clinfed.errors import AdviceWarning, UserError
from clinfed.evaluation import record as records
from clinfed.evaluation import tracking
from clinfed.evaluation.report import holdings
from clinfed.evaluation.report.tables import closing_table, fraction, round_line
from clinfed.home import home
from clinfed.protocol import Answer, Refused
from configs import Run, resolved, to_overrides
from server import checkpoints
from server.advice import too_little_training
from server.central import PublicSet
from server.checkpoints import Checkpoint
from server.door import Door
from server.exchange import Exchange
from server.federation import Federation
from server.model import Model
from server.progress import Progress, say, say_record, say_refused
from server.recording import BEST, LAST, Recorder, refusals
from server.rounds import Course, Round, run_rounds
from server.turnout import quorum, require
from strategies.base import ServerState

# For the answers of one exchange, where round.deadline_s says nothing. In a simulation Flower itself reports a clinic
# that died, and a shorter time would let results depend on the machine's load: there it only ends what hangs.
DEADLINE_S, SIMULATED_DEADLINE_S = 1800.0, 6 * 3600.0


class Coordinator:
    """A run and what it writes: state after each round, and at the end adapter, counts and record in its folder."""

    def __init__(self, folder: Path, grid: Grid, run: Run) -> None:
        """Take a folder that no other process writes to. Raises: UserError where a resumed run has other settings."""
        self.started = time.perf_counter()
        self.folder, self.run = folder, run
        tracking.check(run.tracking)
        self.checkpoint = load_checkpoint(folder, run)
        self.model = Model(run)
        code = fingerprints.code()
        deadline_s = run.round.deadline_s or (DEADLINE_S if isinstance(grid, HttpGrid) else SIMULATED_DEADLINE_S)
        progress = Progress(folder, run.rounds)
        self.exchange = Exchange(grid, run, codes=self.model.codes, code=code, deadline_s=deadline_s, answered=progress)
        self.door = Door(self.exchange, run)

    def run_all(self) -> None:
        """Do the whole run, or what is left of it."""
        federation = self.greet()
        self.recorder = Recorder(self.run, self.model.codes, self.model.fingerprints)
        course = self.begin()
        self.recorder.add_workers(federation.workers)
        self.recorder.seconds["start"] += self.seconds
        settings = {"overrides": " ".join(to_overrides(resolved(self.run)))}
        self.tracker = tracking.start(self.run.tracking, self.folder, home(), settings)
        self.public = PublicSet(self.run, self.model.codes) if self.run.central.notes else None
        course = run_rounds(self.exchange, self.door, self.run, course, self.keep, self.show)
        early = f"no better round in {self.run.stop.patience}; " if course.server.round < self.run.rounds else ""
        say(f"{early}judging on test")
        self.close(course)

    @property
    def seconds(self) -> float:
        """Return the wall clock since this process took up the run."""
        return time.perf_counter() - self.started

    def greet(self) -> Federation:
        """Let the clinics in. Raises: UserError where they are too few, or cannot do what the run asks."""
        run = self.run
        say("clinics load base and notes")
        federation = self.door.open(self.build)
        self.refused = self.door.take_refused()
        say_refused("start", self.refused)
        say(describe(federation))
        if not federation.with_notes("test"):
            raise UserError("no clinic holds a test note, on which the result is judged; bring notes of more patients")
        if run.stop.patience and not federation.with_notes("validation"):
            raise UserError(f"stop.patience={run.stop.patience}: no clinic holds a validation note; leave it out")
        return federation

    def build(self) -> dict[str, str]:
        """Load the model and pass on what its settings are advised against; return its fingerprints."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AdviceWarning)
            prints = self.model.build()
        for each in caught:
            if issubclass(each.category, AdviceWarning):
                say(f"warning: {each.message}")
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return prints

    def begin(self) -> Course:
        """Return where the rounds begin: anew, or where the checkpoint has them."""
        if self.checkpoint is None:
            return Course(self.model.start())
        if reason := fingerprints.mismatch(self.model.fingerprints, self.checkpoint.fingerprints):
            raise UserError(f"resume={self.run.resume}: in the checkpoint, the {reason}")
        course = self.checkpoint.course
        self.recorder.restore(self.checkpoint.recorded, course.server.round)
        say(f"resumed after round {course.server.round}")
        return course

    def keep(self, course: Course) -> None:
        """Write a checkpoint."""
        recorded = self.recorder.saved(self.seconds)
        checkpoint = Checkpoint(course, resolved(self.run), self.model.fingerprints, recorded)
        checkpoints.save(self.folder / checkpoints.FOLDER, checkpoint)

    def show(self, done: Round, server: ServerState) -> None:
        """Record and print a round, and judge its adapter on the coordinator's own notes where there are any."""
        entry = self.recorder.add_round(done)
        if self.public is not None and (done.validated or self.run.passes_of_round(done.number).ends_epoch):
            counts = self.public.judge(self.model.tagger, server.adapter)
            entry["public"] = records.judgement({"public set": counts})
        self.tracker.add_round(entry)
        say_refused(f"round {done.number}", done.refused)
        say(round_line(entry))

    def close(self, course: Course) -> None:
        """Judge the chosen round on test, once, and write everything down."""
        number, adapter, reason = choose(course, self.run.chosen)
        refused: list[Refused] = []
        closing = self.judge_on_test(adapter, number, refused)
        record = self.recorder.finish(
            closing,
            adapter,
            self.door.federation,
            system=protocol.FEDERATED,
            seconds=self.seconds,
            chosen=(number, reason),
        )
        record["ended_early"] = course.server.round < self.run.rounds
        record["best_round"] = course.best.round if course.best else None
        record["refused"], record["test_refused"] = refusals(self.refused), refusals(refused)
        table = closing_table(record)
        self.model.save(self.folder / "adapter", adapter, f"```\n{table}\n```")
        if course.best is not None and course.best.round != number:
            judged = f"Round {course.best.round}: validation micro-F1 {fraction(course.best.f1)}."
            self.model.save(self.folder / "best", course.best.adapter, judged)
        records.write_counts(self.folder / records.COUNTS, self.recorder.counts)
        records.write_counts(self.folder / records.VALIDATION_COUNTS, self.recorder.validation_counts)
        holdings.draw(record["manifest"], self.folder / "holdings.svg")
        records.write(self.folder / "record.json", record)  # last: with it the run is complete
        self.tracker.finish(record)
        say(table)
        say(too_little_training(record))
        say_record(self.folder / "record.json")

    def judge_on_test(self, adapter: AdapterState, number: int, refused: list[Refused]) -> list[Answer]:
        """Return the clinics' answers on the test split. Raises: UserError where they are less than a quorum."""
        seats = self.door.federation.with_notes("test")
        asked = {"split": "test", "closing": True, "replicates": True}
        closing = self.exchange.evaluate(seats, adapter, number, refused, **asked)
        say_refused("test", refused)
        require(len(closing), quorum(self.run, len(seats)), refused, "test")
        return closing


def load_checkpoint(folder: Path, run: Run) -> Checkpoint | None:
    """Return what a resumed run goes on from; None for a new one. Raises: UserError for a run of other settings."""
    if not run.resume:
        return None
    checkpoint = checkpoints.load(folder / checkpoints.FOLDER)
    checkpoints.refuse_other_settings(resolved(run), checkpoint.config)
    return checkpoint


def choose(course: Course, chosen: str) -> tuple[int, AdapterState, str]:
    """Return the round whose adapter is judged on test, that adapter, and why it is this one."""
    if chosen == "best" and course.best is not None:
        return course.best.round, course.best.adapter, BEST
    return course.server.round, course.server.adapter, LAST


def describe(federation: Federation) -> str:
    """Return one line on who takes part, with training notes and their windows."""
    seats = ", ".join(
        f"{seat.clinic} {seat.registered['train_notes']} in {seat.registered['train_windows']} windows"
        for seat in federation.seats
    )
    out = f"; {federation.sitting_out} without notes sit out" if federation.sitting_out else ""
    return f"{len(federation.seats)} clinics (training notes): {seats}{out}"
