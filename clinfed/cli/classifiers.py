"""The systems of `clinfed classify`: each clinic's classifier, the pooled and the federated one, and two lexicons."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from client.clinic import Clinic, Simulation
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.baselines.lexicon import Lexicon
from clinfed.baselines.mlp import Examples, Floats, first_state, probabilities, train
from clinfed.corpus.note import Note
from clinfed.corpus.splits import SPLITS
from clinfed.errors import UserError
from clinfed.evaluation import documents
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.documents import DocumentSystem
from clinfed.evaluation.record import judgement
from clinfed.evaluation.report.documents import SYSTEMS
from clinfed.probes.memory import peak_memory
from configs import Run
from partitions.pooled import NAME as POOLED
from strategies.base import Strategy
from strategies.fedavg import FedAvg
from strategies.fedprox import FedProx
from strategies.fedrows import FedRows

LEAST_SURE = 0.5  # the threshold of a system without validation notes


@dataclass(frozen=True)
class Trained:
    """A classifier, on how many notes it was trained, and what that took."""

    state: AdapterState
    notes: int
    passes: int
    seconds: float
    peak_bytes: int
    bytes_each_way: int = 0


@dataclass(frozen=True)
class Held:
    """A clinic, with the vectors of its notes."""

    clinic: Clinic
    vectors: Mapping[str, Floats]  # by split
    codes: Sequence[str]

    def examples(self) -> Examples:
        """Return its training notes."""
        notes = self.clinic.split("train")
        return Examples(self.clinic.name, self.vectors["train"], documents.targets(notes, self.codes))


def hold(simulation: Simulation, run: Run, vectors: Callable[[Sequence[Note]], Floats]) -> Iterator[Held]:
    """Yield each clinic with the vectors of its notes."""
    for number in range(len(simulation.dealt)):
        clinic = simulation.clinic(number, run.corpus.train_fraction)
        yield Held(clinic, {split: vectors(clinic.split(split)) for split in SPLITS}, simulation.codes)


def train_systems(
    run: Run, held: Sequence[Held], show: Callable[[str], None]
) -> Iterator[tuple[str, Trained, Sequence[Held]]]:
    """Yield the name of each system, its classifier, and the clinics that have trained it."""
    trainers = [each for each in held if each.clinic.split("train")]
    if not trainers:
        raise UserError("no clinic holds a training note; look at corpus.path, and at corpus.train_fraction")
    first = first_state(trainers[0].vectors["train"].shape[1], len(trainers[0].codes), run.classifier, seed=run.seed)
    for each in trainers:
        show(f"training: {each.clinic.name} alone")
        yield f"local {each.clinic.name}", train_alone(run, first, each.examples()), [each]
    show("training: all notes in one place")
    everyone = pooled([each.examples() for each in trainers])
    yield "centralised", train_alone(run, first, everyone, at_once=len(trainers)), trainers
    show("training: federated")
    yield "federated", train_federated(run, first, [each.examples() for each in trainers]), trainers


def pooled(examples: Sequence[Examples]) -> Examples:
    """Return all clinics' examples as one clinic's."""
    vectors, targets = ([getattr(each, name) for each in examples] for name in ("vectors", "targets"))
    return Examples(POOLED, np.concatenate(vectors), np.concatenate(targets))


def rounds(run: Run) -> int:
    """Return how many rounds the classifier is trained for: its passes are never spread over several."""
    return run.rounds // run.rounds_per_epoch


def train_alone(run: Run, first: AdapterState, examples: Examples, *, at_once: int = 1) -> Trained:
    """Return the classifier after all passes of all rounds, with one optimiser.

    at_once: of how many clinics these are the notes: a step takes as many of them as those clinics' steps do together.
    """
    epochs = range(rounds(run) * run.classifier.passes)
    settings = replace(run.classifier, batch_notes=run.classifier.batch_notes * at_once)
    started = time.perf_counter()
    with peak_memory() as peak:
        state, _ = train(first, examples, settings, epochs=epochs, seed=run.seed, threads=run.training.threads)
    return Trained(state, len(examples), len(epochs), time.perf_counter() - started, peak.peak_bytes)


def train_federated(run: Run, first: AdapterState, clinics: Sequence[Examples]) -> Trained:
    """Return the classifier after all rounds, aggregated by the run's strategy in the order of clinic names.

    Raises: UserError for a strategy that cannot be used here.
    """
    strategy = usable(run.strategy)
    server, passes = strategy.start(first), run.classifier.passes
    started = time.perf_counter()

    def updates(number: int) -> Iterator[AdapterUpdate]:
        for examples in sorted(clinics, key=lambda each: each.clinic):
            state, _ = train(
                server.adapter,
                examples,
                run.classifier,
                epochs=range((number - 1) * passes, number * passes),
                seed=run.seed,
                threads=run.training.threads,
                proximal_mu=strategy.proximal_mu if isinstance(strategy, FedProx) else 0.0,
            )
            yield AdapterUpdate(examples.clinic, state, len(examples))

    with peak_memory() as peak:
        for number in range(1, rounds(run) + 1):
            server = strategy.aggregate(server, updates(number))
    notes = sum(len(each) for each in clinics)
    travelled = rounds(run) * len(clinics) * first.num_bytes
    seconds = time.perf_counter() - started
    return Trained(server.adapter, notes, rounds(run) * passes, seconds, peak.peak_bytes, travelled)


def usable(strategy: Strategy) -> Strategy:
    """Return the strategy as it is used here: FedRows, which is for a tagger's head whose rows are codes, as FedAvg.

    Raises: UserError for one whose clinics do more than FedProx's.
    """
    if isinstance(strategy, FedRows):
        return FedAvg()
    mine = ("update", "trainable") if isinstance(strategy, FedProx) else ("update", "trainable", "gradient")
    if any(getattr(type(strategy), name) is not getattr(Strategy, name) for name in mine):
        raise UserError(
            f"strategy={strategy.option}: clinfed classify has no clinic's half of it; choose fedavg, fedprox, fedadam "
            "or median"
        )
    return strategy


def judged(
    trained: Trained, trainers: Sequence[Held], held: Sequence[Held]
) -> tuple[DocumentSystem, dict[str, SpanCounts]]:
    """Return a system's entry and its test counts by clinic; its own clinics' validation notes choose the threshold."""
    added = sum(
        documents.tallies(
            probabilities(trained.state, each.vectors["validation"]),
            documents.targets(each.clinic.split("validation"), each.codes),
        )
        for each in trainers
    )
    anything = np.any(added)
    threshold, validation = documents.best_threshold(np.asarray(added)) if anything else (LEAST_SURE, None)
    counts = {}
    for each in held:
        found = probabilities(trained.state, each.vectors["test"]) >= threshold
        predicted = [[each.codes[column] for column in np.flatnonzero(row)] for row in found]
        counts[each.clinic.name] = documents.count_documents(each.clinic.split("test"), predicted, seed=SEED)
    system: DocumentSystem = {
        "notes": trained.notes,
        "passes": trained.passes,
        "threshold": threshold,
        "validation": validation,
        "test": judgement(counts),
        "trainable_parameters": trained.state.num_elements,
        "training_s": trained.seconds,
        "training_peak_bytes": trained.peak_bytes,
        "bytes_up": trained.bytes_each_way,
        "bytes_down": trained.bytes_each_way,
        "state_sha256": trained.state.sha256(),
    }
    return system, counts


def lexicons_of(simulation: Simulation, held: Sequence[Held]) -> dict[str, dict[str, Lexicon]]:
    """Return the lexicons that a classifier must beat, by system and clinic."""
    everyone = Lexicon.fit(simulation.pooled_train)
    own = {each.clinic.name: Lexicon.fit(each.clinic.split("train")) for each in held}
    return dict(zip(SYSTEMS, (dict.fromkeys(own, everyone), own), strict=True))


def count_lexicons(lexicons: Mapping[str, Lexicon], held: Sequence[Held]) -> dict[str, SpanCounts]:
    """Return the test counts by clinic of the codes that a clinic's lexicon finds in its notes."""
    counts = {}
    for each in held:
        notes = each.clinic.split("test")
        found = [documents.codes_of(lexicons[each.clinic.name].predict(note.text)) for note in notes]
        counts[each.clinic.name] = documents.count_documents(notes, found, seed=SEED)
    return counts


def unlearnt(counts: Mapping[str, SpanCounts]) -> DocumentSystem:
    """Return the entry of a system that has no parameter."""
    return {
        "notes": 0,
        "passes": 1,
        "threshold": None,
        "validation": None,
        "test": judgement(counts),
        "trainable_parameters": 0,
        "training_s": 0.0,
        "training_peak_bytes": 0,
        "bytes_up": 0,
        "bytes_down": 0,
        "state_sha256": "",
    }
