"""One run from its first greeting to its record: greet the clinics, run the rounds, evaluate on test once, write."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from clinfed import fingerprints, protocol
from clinfed.adapters.state import AdapterState
from clinfed.errors import AdviceWarning, UserError
from clinfed.evaluation.base import refuse_incomplete
from clinfed.manifests import Manifest
from clinfed.protocol import Answer, Refused
from clinfed.runs import checkpoints, tracking
from clinfed.runs.backend import Backend
from clinfed.runs.checkpoints import Checkpoint
from clinfed.runs.recorder import LAST, Recorder, refusals
from clinfed.runs.state import RunState
from configs import Run, resolved
from server.admission import Admission
from server.diary import Diary
from server.federation import Federation
from server.model import Model, run_folder
from server.participation import parted, quorum, require
from server.progress import Progress, Say, say, say_refused
from server.registered import site_keys
from server.rounds import run_rounds
from server.settings import SIMULATED, CoordinatorSettings
from server.wire.exchange import Exchange

# For the answers of one exchange, where round.deadline_s says nothing. In a simulation Flower itself reports a clinic
# that died, and a shorter time would let results depend on the machine's load: there it only ends what hangs.
DEADLINE_S, SIMULATED_DEADLINE_S = 1800.0, 6 * 3600.0


class Coordinator:
    """A run from its first greeting to its record."""

    def __init__(
        self,
        folder: Path,
        backend: Backend,
        run: Run,
        say: Say = say,
        settings: CoordinatorSettings = SIMULATED,
        manifest: Manifest | None = None,
    ) -> None:
        """Take a folder that no other process writes to. Raises: UserError where a resumed run has other settings."""
        self.started = time.perf_counter()
        self.folder, self.run, self.say, self.settings = folder, run, say, settings
        self.manifest = manifest
        tracking.check(run.tracking)
        refuse_incomplete(run.task.counts)
        self.checkpoint = load_checkpoint(folder, run)
        self.model = Model(run)
        code = fingerprints.code()
        deadline_s = run.round.deadline_s or (DEADLINE_S if backend.remote else SIMULATED_DEADLINE_S)
        progress = Progress(folder, run.rounds)
        keys = site_keys(settings) if backend.remote else {}  # a simulation's clinics have none
        self.exchange = Exchange(
            backend, run, codes=self.model.codes, code=code, deadline_s=deadline_s, keys=keys, progress=progress
        )
        self.admission = Admission(self.exchange, run, settings.sites)

    def run_all(self) -> None:
        """Do the whole run, or what is left of it."""
        federation, refused = self.greet()
        recorder = Recorder(self.run, self.model.codes, self.model.fingerprints)
        run_state = self.begin(recorder)
        recorder.add_workers(federation.workers)
        recorder.seconds["start"] += time.perf_counter() - self.started
        diary = Diary(self.folder, self.run, self.model, recorder, self.say, self.started)
        run_state = run_rounds(
            self.exchange, self.admission, self.run, run_state, diary.keep, diary.show, self.settings.limits
        )
        early = f"no better round in {self.run.stop.patience}; " if run_state.server.round < self.run.rounds else ""
        self.say(f"{early}evaluating on test")
        self.close(run_state, diary, refused)

    def greet(self) -> tuple[Federation, list[Refused]]:
        """Let the clinics in; return them, and who is left out.

        Raises: UserError where they are too few, or cannot do what the run asks.
        """
        run = self.run
        self.say("clinics load base and notes")
        federation = self.admission.open(self.build)
        refused = self.admission.take_refused()
        say_refused(self.say, "start", refused)
        self.say(describe(federation))
        if not self.exchange.backend.remote and run.policy == "none":
            self.say("no policy: simulated clinics have no floors to keep; policy=site gives them a real site's")
        for clinic in federation.without_mentions():
            self.say(f"warning: no mention to learn from: {clinic}; it learns no diagnosis")
        if not federation.with_notes("test"):
            raise UserError(
                "no clinic holds a test note; the result is evaluated on test notes; bring notes of more patients"
            )
        evaluated = "validation_mentions" if run.task.needs_mentions else "validation_notes"
        if run.stop.patience and not any(handle.registered[evaluated] for handle in federation.handles):
            found = f"no clinic holds a {evaluated.replace('_', ' ').removesuffix('s')}"
            raise UserError(f"stop.patience={run.stop.patience}: {found}; leave it out")
        return federation, refused

    def build(self) -> dict[str, str]:
        """Load the model and pass on what its settings are advised against; return its fingerprints."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AdviceWarning)
            prints = self.model.build()
        for each in caught:
            if issubclass(each.category, AdviceWarning):
                self.say(f"warning: {each.message}")
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return prints

    def begin(self, recorder: Recorder) -> RunState:
        """Return where the rounds begin: anew, or where the checkpoint has them."""
        if self.checkpoint is None:
            return RunState(self.model.start(), run_key=checkpoints.new_run_key())
        if reason := fingerprints.mismatch(self.model.fingerprints, self.checkpoint.fingerprints):
            raise UserError(f"resume={self.run.resume}: in the checkpoint, the {reason}")
        run_state = self.checkpoint.run_state
        recorder.restore(self.checkpoint.recorded, run_state.server.round)
        self.say(f"resumed after round {run_state.server.round}")
        return run_state

    def close(self, run_state: RunState, diary: Diary, refused: Sequence[Refused]) -> None:
        """Evaluate the chosen round on test, once, and write everything down. refused: at the start."""
        round_index, adapter, reason = choose(run_state, self.run)
        test_evaluation, test_refused = self.evaluate_on_test(adapter, round_index, run_state.run_key)
        record = diary.recorder.finish(
            test_evaluation,
            adapter,
            self.admission.federation,
            system=protocol.FEDERATED,
            seconds=diary.seconds,
            chosen=(round_index, reason),
        )
        record["ended_early"] = run_state.server.round < self.run.rounds
        record["best_round"] = run_state.best.round if run_state.best else None
        record["limits"] = asdict(self.settings.limits)
        record["refused"], record["test_refused"] = refusals(refused), refusals(test_refused)
        if self.manifest:
            record["started_by"], record["started_with"] = self.manifest.started_by, self.manifest.sha256
        diary.close(record, adapter, run_state.best)

    def evaluate_on_test(
        self, adapter: AdapterState, round_index: int, run_key: str
    ) -> tuple[list[Answer], list[Refused]]:
        """Return the answers on the test split, and who is left out. Raises: UserError for less than a quorum."""
        handles = self.admission.federation.with_notes("test")
        replies = self.exchange.evaluate(
            handles, adapter, round_index, split="test", test_evaluation=True, replicates=True, run_key=run_key
        )
        test_evaluation, refused = parted(replies)
        say_refused(self.say, "test", refused)
        require(len(test_evaluation), quorum(self.run, len(handles)), refused, "test")
        return test_evaluation, refused


def coordinate(
    backend: Backend,
    run: Run,
    say: Say = say,
    begun: Callable[[Path], None] = lambda folder: None,
    settings: CoordinatorSettings = SIMULATED,
    manifest: Manifest | None = None,
) -> Path:
    """Do the whole run, in a new folder or in that of the run that is resumed; return its record's path.

    begun: called with the folder, as soon as it is known. settings: the coordinator's own.
    manifest: who has started the run, where an operator has signed it.
    """
    folder = run_folder(run)
    with checkpoints.held(folder / checkpoints.FOLDER):
        begun(folder)
        say(f"run folder: {folder}")
        Coordinator(folder, backend, run, say, settings, manifest).run_all()
    return folder / "record.json"


def load_checkpoint(folder: Path, run: Run) -> Checkpoint | None:
    """Return what a resumed run goes on from; None for a new one. Raises: UserError for a run of other settings."""
    if not run.resume:
        return None
    checkpoint = checkpoints.load(folder / checkpoints.FOLDER)
    checkpoints.refuse_other_settings(resolved(run), checkpoint.config)
    return checkpoint


def choose(run_state: RunState, run: Run) -> tuple[int, AdapterState, str]:
    """Return the round whose adapter is evaluated on test, that adapter, and why it is this one."""
    if run.chosen == "best" and run_state.best is not None:
        what = f"best validation {run.task.counts.score_name}"
        how = f", {run_state.best.over}" if run_state.best.over else ""
        return run_state.best.round, run_state.best.adapter, f"{what}{how}"
    return run_state.server.round, run_state.server.adapter, LAST


def describe(federation: Federation) -> str:
    """Return one line on who takes part, with training notes and their windows."""
    handles = ", ".join(
        f"{handle.clinic} {handle.registered['train_notes']} in {handle.registered['train_windows']} windows"
        for handle in federation.handles
    )
    out = f"; {federation.sitting_out} without notes sit out" if federation.sitting_out else ""
    return f"{len(federation.handles)} clinics (training notes): {handles}{out}"
