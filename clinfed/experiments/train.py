"""The same training in one place, over all notes and epochs, without Flower.

One optimiser and one schedule run through the epochs of all rounds. What it is compared with, the federation,
differs only in where the notes are and in what happens between rounds; everything else is the same code.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state, write_state
from clinfed.clinic.cache import WORKER, WorkerCache
from clinfed.clinic.data import Clinic
from clinfed.clinic.work import evaluate, train_epochs
from clinfed.errors import UserError
from clinfed.evaluation import siblings
from clinfed.evaluation.merging import merged
from clinfed.evaluation.report.siblings import sibling_lines
from clinfed.evaluation.report.tables import round_line, table_on_test
from clinfed.experiments.launch import DEFAULT_CLINICS
from clinfed.experiments.ready import refuse_resume, refuse_unready
from clinfed.experiments.simulate import collect_artefacts
from clinfed.home import home
from clinfed.protocol import Answer
from clinfed.runs import record as records
from clinfed.runs import tracking
from clinfed.runs.recorder import Recorder
from clinfed.runs.state import Round
from clinfed.tasks import learnable
from partitions.pooled import NAME as POOLED
from server.advice import too_little_training
from server.model import Model, run_folder
from server.rounds import busiest

if TYPE_CHECKING:
    from clinfed.training.model import Tagger


@dataclass(frozen=True)
class Pooled:
    """Who held what before it was put in one place."""

    manifest: Mapping[str, Any]
    unrepresentable: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, Mapping[str, int]]


def train(overrides: list[str], show: Callable[[str], None]) -> Path:
    """Train on all notes, evaluate on validation and test; return the run record's path."""
    started = time.perf_counter()
    cache = WorkerCache(overrides)
    refuse_resume(cache.run)
    refuse_unready(cache.run)
    tracking.check(cache.run.tracking)
    show("loading base and notes")
    learner, clinics = gather(cache)
    trained = [clinic for clinic in clinics if cache.run.only.clinic in ("", clinic.name) and clinic.split("train")]
    for clinic in trained:
        if not learnable.any_learnable(cache.run.task, clinic.split("train"), clinic.codes):
            show(f"warning: no mention to learn from: {_missing(clinic, clinic.skipped)}")
    tagger = cache.tagger(len(learner.codes))
    model, prints = first_model(cache, tagger)
    received = cache.run.strategy.broadcast(model.start())
    recorder = Recorder(cache.run, learner.codes, prints)
    recorder.seconds["start"] = time.perf_counter() - started - cache.load_s  # what loading took counts as such
    best = BestEpoch.of(cache, clinics)
    recorder.add_round(train_all(cache, learner, clinics, received, show, best))
    show(round_line(recorder.rounds[0]))
    show("evaluating on test")
    state = read_state(tagger)
    test_evaluation = evaluated(cache, clinics, state, "test")
    held = Pooled(
        {each.name: each.manifest() for each in clinics},
        {"train": cache.encoded(learner, "train").unrepresentable},
        {each.name: each.skipped for each in clinics},
    )
    system = "local" if cache.run.only.clinic else "centralised"
    seconds = time.perf_counter() - started
    chosen = (1, best.reason(cache.run.epochs().total_epochs)) if best else None
    record = recorder.finish(test_evaluation, state, held, system=system, seconds=seconds, chosen=chosen)
    folder = run_folder(cache.run)
    tracker = tracking.start(cache.run.tracking, folder, home(), {"overrides": " ".join(overrides)})
    tracker.add_round(recorder.rounds[0])
    tracker.finish(record)
    table = table_on_test(record)
    model.save(folder / "adapter", state, f"```\n{table}\n```")
    records.write_counts(folder / records.COUNTS, recorder.counts)
    records.write_counts(folder / records.VALIDATION_COUNTS, recorder.validation_counts)
    collect_artefacts(folder, record)
    records.write(folder / "record.json", record)  # last: with it the run is complete
    parted = sibling_lines(siblings.read(folder))
    show(
        "\n".join(filter(None, [table, *parted, too_little_training(record), f"run record: {folder / 'record.json'}"]))
    )
    return folder / "record.json"


def first_model(cache: WorkerCache, tagger: "Tagger") -> tuple[Model, dict[str, str]]:
    """Return the model whose state is the first one, and its fingerprints.

    Its first weights are drawn on the CPU, as the server of a federation does; a GPU would draw other numbers.
    """
    model = Model(cache.run, tagger=tagger if cache.run.training.device == "cpu" else None)
    return model, model.build()


def gather(cache: WorkerCache) -> tuple[Clinic, list[Clinic]]:
    """Return all notes that are trained on as one clinic's, and the clinics, whose other notes are evaluated."""
    run, only = cache.run, cache.run.only
    with cache.loading():
        simulation = cache.simulation(run.clinics or DEFAULT_CLINICS)
        clinics = [simulation.clinic(place, run.corpus.train_fraction) for place in range(len(simulation.dealt))]
        names = [clinic.name for clinic in clinics]
        if only.clinic and only.clinic not in names:
            raise UserError(f"only.clinic={only.clinic}: no such clinic; the partition deals to {', '.join(names)}")
        chosen = [clinic for clinic in clinics if only.clinic in ("", clinic.name)]
        notes = [note for clinic in chosen for note in clinic.notes if only.language in ("", note.language)]
        # From the learner's name follow the order of notes and dropout: the same as in a federation of one clinic.
        learner = Clinic(
            only.clinic or POOLED,
            sorted(notes, key=lambda note: note.id),
            simulation.codes,
            run.corpus.train_fraction * only.share,
            simulation.pooled_train,
        )
        if not learner.split("train"):
            raise UserError("no training note is left; look at only.* and corpus.train_fraction")
        if not learnable.any_learnable(run.task, learner.split("train"), learner.codes):
            raise UserError(f"no mention to learn from: {_missing(learner, simulation.skipped)}; {learnable.REMEDY}")
        if not any(clinic.split("test") for clinic in clinics):
            raise UserError(
                "no clinic holds a test note; the result is evaluated on test notes; bring notes of more patients"
            )
        return learner, [replace(clinic, lexicon_from=learner.split("train")) for clinic in clinics]


def _missing(clinic: Clinic, skipped: Mapping[str, int]) -> str:
    notes = clinic.split("train")
    return learnable.missing(clinic.name, len(notes), skipped, sum(len(note.spans) for note in notes))


@dataclass
class BestEpoch:
    """Early stopping (`chosen=best`): keeps the adapter of the epoch with the best validation score.

    clinics: whose validation notes decide; of training on one clinic's notes that clinic's own, else all clinics'.
    """

    cache: WorkerCache
    clinics: Sequence[Clinic]
    epoch: int = 0  # from 1
    score: float = float("-inf")
    state: AdapterState | None = None
    seconds: float = 0.0  # of evaluating, which is no training

    @classmethod
    def of(cls, cache: WorkerCache, clinics: Sequence[Clinic]) -> "BestEpoch | None":
        """Return it where the run chooses the best epoch and there are validation notes, else None."""
        only = cache.run.only.clinic
        own = [clinic for clinic in clinics if only in ("", clinic.name) and clinic.split("validation")]
        return cls(cache, own) if cache.run.chosen == "best" and own else None

    def see(self, epoch: int) -> None:
        """Evaluate the model as it is after an epoch, from 1."""
        started = time.perf_counter()
        state = read_state(self.cache.tagger(len(self.clinics[0].codes)))
        counts = {}
        for clinic in self.clinics:
            found = evaluate(self.cache, clinic, state, "validation", test_evaluation=False, replicates=False)
            counts[clinic.name] = found.counts[protocol.FEDERATED, protocol.ALL_GOLD]
        score = merged(counts).score
        if self.state is None or (score is not None and score > self.score):
            self.epoch, self.state = epoch, state
            self.score = self.score if score is None else score
        self.seconds += time.perf_counter() - started

    def reason(self, epochs: int) -> str:
        """Return why the run's adapter is the one that is evaluated on test."""
        return f"epoch {self.epoch} of {epochs}, best on validation of {', '.join(each.name for each in self.clinics)}"


def train_all(
    cache: WorkerCache,
    learner: Clinic,
    clinics: Sequence[Clinic],
    received: Payload,
    show: Callable[[str], None],
    best: BestEpoch | None = None,
) -> Round:
    """Train in place from the first state through all epochs; return what happened as if it had been one round.

    Of the strategy, what it does to local training counts (FedProx's pull towards the start, a mask); nothing is sent,
    kept or aggregated. best: sees each epoch; its adapter is the one that comes out.
    """
    started = time.perf_counter()
    epochs = cache.run.epochs()

    def report(epoch: int, loss: float) -> None:
        show(f"epoch {epoch + 1}/{epochs.total_epochs} | loss {loss:.3f} | {time.perf_counter() - started:.1f} s")
        if best:
            best.see(epoch + 1)

    training = train_epochs(cache, learner, received, epochs, report)
    result = training.result
    figures = {"num_examples": result.notes, "loss": result.loss, "steps": result.steps, "tokens": result.tokens}
    figures["train_s"] = result.seconds - (best.seconds if best else 0.0)
    trained = answer(cache, POOLED, {**figures, "training_peak_bytes": training.peak_bytes})
    tagger = cache.tagger(len(learner.codes))
    if best and best.state is not None:
        write_state(tagger, best.state)
    validated = evaluated(cache, clinics, read_state(tagger), "validation")
    seconds = time.perf_counter() - started
    return Round(1, epochs.count, [trained], validated, 0.0, seconds, seconds - busiest([trained, *validated]))


def evaluated(cache: WorkerCache, clinics: Sequence[Clinic], state: AdapterState, split: str) -> list[Answer]:
    """Return each clinic's evaluation of the state on one split, none where it holds no notes of it."""
    answers = []
    for clinic in clinics:
        if clinic.split(split):
            evaluation = evaluate(cache, clinic, state, split, test_evaluation=split == "test", replicates=True)
            figures = {"notes": evaluation.notes, "evaluate_s": evaluation.seconds, "lexicon_s": evaluation.lexicon_s}
            figures["inference_peak_bytes"] = evaluation.peak_bytes
            answers.append(answer(cache, clinic.name, figures, evaluation.counts))
    return answers


def answer(
    cache: WorkerCache, clinic: str, figures: dict[str, float], counts: protocol.Evaluated | None = None
) -> Answer:
    """Return figures and counts in the form in which a clinic's come by message."""
    report = {**figures, "load_s": cache.take_load_s(), "base_loads": cache.base_loads}
    return Answer(clinic, {"worker": WORKER}, report, counts=counts or {})
