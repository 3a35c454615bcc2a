"""What a run writes in its folder: a checkpoint and an entry a round; at the end adapter, counts, record."""

import time
from pathlib import Path

from clinfed.adapters.state import AdapterState
from clinfed.evaluation import merging
from clinfed.evaluation.report import holdings
from clinfed.evaluation.report.tables import round_line, table_on_test
from clinfed.home import home
from clinfed.runs import checkpoints, tracking
from clinfed.runs import record as records
from clinfed.runs.checkpoints import Checkpoint
from clinfed.runs.recorder import Recorder
from clinfed.runs.state import Best, Round, RunState
from configs import Run, resolved, to_overrides
from server.advice import too_little_training
from server.central import PublicSet
from server.model import Model
from server.progress import Say, say_refused
from strategies.base import ServerState


class Diary:
    """Writes and shows a run while it goes on."""

    def __init__(self, folder: Path, run: Run, model: Model, recorder: Recorder, say: Say, started: float) -> None:
        """Begin to write in the run's folder. started: when this process took up the run, by time.perf_counter()."""
        self.folder, self.run, self.model, self.recorder, self.say = folder, run, model, recorder, say
        self.started = started
        settings = {"overrides": " ".join(to_overrides(resolved(run)))}
        self.tracker = tracking.start(run.tracking, folder, home(), settings)
        self.public = PublicSet(run, model.codes) if run.central.notes else None

    @property
    def seconds(self) -> float:
        """Return the wall clock since this process took up the run."""
        return time.perf_counter() - self.started

    def keep(self, run_state: RunState) -> None:
        """Write a checkpoint."""
        recorded = self.recorder.saved(self.seconds)
        checkpoint = Checkpoint(run_state, resolved(self.run), self.model.fingerprints, recorded)
        checkpoints.save(self.folder / checkpoints.FOLDER, checkpoint)

    def show(self, done: Round, server: ServerState) -> None:
        """Record and print a round, and evaluate its adapter on the coordinator's own notes where there are any."""
        entry = self.recorder.add_round(done)
        if self.public is not None and (done.validated or self.run.epochs_of_round(done.round_index).ends_epoch):
            counts = self.public.evaluate(self.model.tagger, server.adapter, self.model.untrained(server.adapter))
            entry["public"] = merging.evaluation({"public set": counts})
        self.tracker.add_round(entry)
        say_refused(self.say, f"round {done.round_index}", done.refused)
        self.say(round_line(entry))

    def close(self, record: records.RunRecord, adapter: AdapterState, best: Best | None) -> None:
        """Write adapter, counts and record; with the record the run is complete, and only then is anything drawn.

        best: the round with the best validation, whose adapter is kept where another round was chosen.
        """
        table = table_on_test(record)
        self.model.save(self.folder / "adapter", adapter, f"```\n{table}\n```")
        if best is not None and best.round != record["chosen_round"]:
            kind = self.run.task.counts
            over = f" ({best.over})" if best.over else ""
            evaluated = f"Round {best.round}: validation {kind.score_name} {kind.shown(best.score)}{over}."
            self.model.save(self.folder / "best", best.adapter, evaluated)
        records.write_counts(self.folder / records.COUNTS, self.recorder.counts)
        records.write_counts(self.folder / records.VALIDATION_COUNTS, self.recorder.validation_counts)
        records.write(self.folder / "record.json", record)
        self.tracker.finish(record)
        self._draw(record)
        for line in filter(None, (table, too_little_training(record), f"run record: {self.folder / 'record.json'}")):
            self.say(line)

    def _draw(self, record: records.RunRecord) -> None:
        """Draw who holds what; the run is complete without it."""
        picture = self.folder / "holdings.svg"
        try:
            holdings.draw(record["manifest"], picture)
        except Exception as error:  # of the plotting library, about names or numbers that sites have sent
            self.say(f"warning: {picture} is not drawn ({type(error).__name__}); the record is whole")
