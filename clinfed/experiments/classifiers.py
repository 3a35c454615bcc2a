"""The systems of `clinfed classify`: each clinic's classifier, the pooled and the federated one, and two lexicons.

All of them are task=document on a frozen encoder (adapter=none), trained by the one loop, in this process.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clinfed.adapters.none import NoAdapter
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.adapters.weights import read_state, write_state
from clinfed.baselines.lexicon import Lexicon
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Clinic, Simulation
from clinfed.clinic.work import train_round
from clinfed.corpus.note import Note
from clinfed.corpus.splits import SPLITS
from clinfed.errors import UserError
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import evaluation
from clinfed.evaluation.report.documents import SYSTEMS
from clinfed.probes.memory import peak_memory
from clinfed.protocol import REPLICATES
from clinfed.runs import documents
from clinfed.runs.checkpoints import new_run_key
from clinfed.runs.documents import DocumentSystem
from clinfed.tasks.document import Document, codes_of
from clinfed.training.embeddings import Embedded
from clinfed.training.encoded import Encoded, Gathered
from clinfed.training.loop import train
from clinfed.training.model import Tagger
from clinfed.training.predict import predict
from configs import Run
from partitions.pooled import NAME as POOLED
from strategies.step import begin, step

LEAST_SURE = 0.5  # the threshold of a system without a code in its validation notes
NO_CLIPPING = 1e9  # of gradients: their sum over all codes is large at first, and Adam needs no bound


@dataclass(frozen=True)
class Trained:
    """A classifier, on how many notes it was trained, and what that took."""

    state: AdapterState
    notes: int
    epochs: int
    seconds: float
    peak_bytes: int
    bytes_each_way: int = 0


def as_documents(run: Run) -> Run:
    """Return the run as one of task=document, with the recipe of classifier.*: a constant rate, and whole epochs.

    A round is `classifier.epochs` local epochs: vectors are cached, so that an epoch costs next to nothing, and it is
    never spread over several rounds.
    """
    settings = run.classifier
    training = replace(
        run.training,
        local_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        head_factor=1.0,
        schedule="constant",
        weight_decay=settings.weight_decay,
        clip_norm=NO_CLIPPING,
        batch_notes=settings.batch_notes,
        batch_tokens=0,
    )
    return replace(
        run,
        task=Document(pooling=settings.pooling, hidden=settings.hidden),
        adapter=NoAdapter(),
        training=training,
        rounds=run.rounds // run.rounds_per_epoch,
        rounds_per_epoch=1,
    )


class Classifiers:
    """A simulation's clinics and the one warm model, which trains and evaluates for all of them, one after another."""

    def __init__(self, overrides: Sequence[str], simulation: Simulation) -> None:
        """Deal the notes. Raises: UserError where no clinic holds a training note."""
        self.cache = WorkerCache(overrides)
        self.cache.run = self.run = as_documents(self.cache.run)
        self.codes = simulation.codes
        fraction = self.run.corpus.train_fraction
        self.clinics = [simulation.clinic(number, fraction) for number in range(len(simulation.dealt))]
        self.trainers = [clinic for clinic in self.clinics if clinic.split("train")]
        if not self.trainers:
            raise UserError("no clinic holds a training note; look at corpus.path, and at corpus.train_fraction")
        self.first = read_state(self.cache.tagger(len(self.codes)))

    def read(self) -> int:
        """Let the encoder read all notes that no cache holds; return how many it has read."""
        held = [self.cache.encoded(clinic, split) for clinic in self.clinics for split in SPLITS if clinic.split(split)]
        return sum(each.read for each in held if isinstance(each, Embedded))

    def train_all(self, show: Callable[[str], None]) -> Iterator[tuple[str, Trained, Sequence[Clinic]]]:
        """Yield the name of each system, its classifier, and the clinics that have trained it."""
        examples = [self.cache.encoded(clinic, "train") for clinic in self.trainers]
        for clinic, own in zip(self.trainers, examples, strict=True):
            show(f"training: {clinic.name} alone")
            yield f"local {clinic.name}", self.train_alone(clinic.name, own), [clinic]
        show("training: all notes in one place")
        everyone = Gathered(examples)
        yield "centralised", self.train_alone(POOLED, everyone, at_once=len(examples)), self.trainers
        show("training: federated")
        yield "federated", self.train_federated(), self.trainers

    def train_alone(self, name: str, examples: Encoded | Gathered, *, at_once: int = 1) -> Trained:
        """Return the classifier after all epochs of all rounds, with one optimiser.

        at_once: of how many clinics these are the notes: a step takes as many of them as those clinics' steps together.
        """
        run, tagger = self.run, self._holding(self.first)
        settings = replace(run.training, batch_notes=run.training.batch_notes * at_once)
        pad_id = self.cache.tokenizer.pad_token_id
        started = time.perf_counter()
        with peak_memory() as peak:
            train(tagger, run.task, examples, settings, epochs=run.epochs(), seed=run.seed, clinic=name, pad_id=pad_id)
        seconds = time.perf_counter() - started
        return Trained(read_state(tagger), len(examples), run.epochs().total_epochs, seconds, peak.peak_bytes)

    def train_federated(self) -> Trained:
        """Return the classifier after all rounds, aggregated by the run's strategy in the order of clinic names."""
        run, server = self.run, begin(self.run.strategy, self.first)
        run_key = new_run_key()
        started = time.perf_counter()

        def updates(number: int) -> Iterator[AdapterUpdate]:
            sent = run.strategy.broadcast(server)
            for clinic in sorted(self.trainers, key=lambda each: each.name):
                done, payload = train_round(self.cache, clinic, sent, number, run_key=run_key, state_round=number - 1)
                yield AdapterUpdate(
                    clinic.name, payload.adapter, done.result.notes, done.result.steps, payload.extra, total
                )

        total = sum(len(clinic.split("train")) for clinic in self.trainers)
        with peak_memory() as peak:
            for number in range(1, run.rounds + 1):
                server = step(run.strategy, server, updates(number))
        seconds = time.perf_counter() - started
        travelled = run.rounds * len(self.trainers) * self.first.num_bytes
        return Trained(server.adapter, total, run.epochs().total_epochs, seconds, peak.peak_bytes, travelled)

    def evaluate(self, trained: Trained, trainers: Sequence[Clinic]) -> tuple[DocumentSystem, dict[str, SpanCounts]]:
        """Return a system's entry and its test counts by clinic; validation notes of trainers choose a threshold."""
        added = sum(self._tallies(trained.state, clinic) for clinic in trainers if clinic.split("validation"))
        table = np.asarray(added)
        holds_gold = table[..., [0, 2]].any() if table.ndim else False  # else each threshold is as good as the others
        threshold, validation = documents.best_threshold(table) if holds_gold else (LEAST_SURE, None)
        task = replace(self.run.task, threshold=threshold)
        counts = {}
        for clinic in self.clinics:
            predicted = self._predicted(trained.state, clinic, "test")
            counts[clinic.name] = counted(task, clinic.split("test"), predicted)
        system: DocumentSystem = {
            "notes": trained.notes,
            "epochs": trained.epochs,
            "threshold": threshold,
            "validation": validation,
            "test": evaluation(counts),
            "trainable_parameters": trained.state.num_elements,
            "training_s": trained.seconds,
            "training_peak_bytes": trained.peak_bytes,
            "bytes_up": trained.bytes_each_way,
            "bytes_down": trained.bytes_each_way,
            "state_sha256": trained.state.sha256(),
        }
        return system, counts

    def _tallies(self, state: AdapterState, clinic: Clinic) -> NDArray[np.int64]:
        notes, predicted = clinic.split("validation"), self._predicted(state, clinic, "validation")
        return documents.tallies([predicted[note.id] for note in notes], [codes_of(note.spans) for note in notes])

    def _predicted(self, state: AdapterState, clinic: Clinic, split: str) -> dict[str, dict[str, float]]:
        """Return the probabilities of codes in the clinic's notes, by note id."""
        if not clinic.split(split):
            return {}
        encoded, pad_id = self.cache.encoded(clinic, split), self.cache.tokenizer.pad_token_id
        return predict(self._holding(state), self.run.task, encoded, self.codes, self.run.training, pad_id=pad_id)

    def _holding(self, state: AdapterState) -> Tagger:
        tagger = self.cache.tagger(len(self.codes))
        write_state(tagger, state)
        return tagger


def counted(task: Document, notes: Sequence[Note], predicted: Mapping[str, Mapping[str, float]]) -> SpanCounts:
    """Return the counts of a clinic's codes as this command's files hold them: their names say what is counted."""
    counts = task.count({"all": notes}, predicted, replicates=REPLICATES, seed=SEED)["all"]
    return SpanCounts(counts.by_code, counts.replicates)


def lexicons_of(simulation: Simulation, clinics: Sequence[Clinic]) -> dict[str, dict[str, Lexicon]]:
    """Return the lexicons that a classifier must beat, by system and clinic."""
    everyone = Lexicon.fit(simulation.pooled_train)
    own = {clinic.name: Lexicon.fit(clinic.split("train")) for clinic in clinics}
    return dict(zip(SYSTEMS, (dict.fromkeys(own, everyone), own), strict=True))


def count_lexicons(lexicons: Mapping[str, Lexicon], clinics: Sequence[Clinic]) -> dict[str, SpanCounts]:
    """Return the test counts by clinic of the codes that a clinic's lexicon finds in its notes."""
    counts = {}
    for clinic in clinics:
        notes, lexicon = clinic.split("test"), lexicons[clinic.name]
        found = {note.id: dict.fromkeys(codes_of(lexicon.predict(note.text)), 1.0) for note in notes}
        counts[clinic.name] = counted(Document(), notes, found)
    return counts


def lexicon_system(counts: Mapping[str, SpanCounts]) -> DocumentSystem:
    """Return the entry of a lexicon, which has no parameter."""
    return {
        "notes": 0,
        "epochs": 1,
        "threshold": None,
        "validation": None,
        "test": evaluation(counts),
        "trainable_parameters": 0,
        "training_s": 0.0,
        "training_peak_bytes": 0,
        "bytes_up": 0,
        "bytes_down": 0,
        "state_sha256": "",
    }
