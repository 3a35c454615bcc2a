"""A clinic's work, without Flower: local training and strict evaluation. The plain loop uses the same functions."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.baselines.ensemble import Ensemble
from clinfed.clinic import states
from clinfed.clinic.cache import Predicted, WorkerCache
from clinfed.clinic.data import Clinic
from clinfed.clinic.states import Place
from clinfed.corpus.note import Note, Span
from clinfed.errors import DivergedError
from clinfed.evaluation import artefacts, hits, outcomes, siblings, unit_counts
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.small_cells import Rule
from clinfed.evaluation.spans import evaluated
from clinfed.home import artefact_file
from clinfed.probes.memory import peak_memory
from strategies.base import ClientState, LocalReport, Strategy

if TYPE_CHECKING:
    from clinfed.tasks.base import Task
    from clinfed.training.encoded import Encoded
    from clinfed.training.loop import Gradient, TrainResult
    from clinfed.training.schedules import Epochs


@dataclass(frozen=True)
class Training:
    """What training gave, and the peak memory that it took."""

    result: "TrainResult"
    peak_bytes: int


@dataclass(frozen=True)
class Evaluation:
    """Counts by (system, gold), and what evaluating took."""

    counts: protocol.Evaluated
    notes: int
    seconds: float  # prediction and counting of the adapter
    lexicon_s: float
    peak_bytes: int  # of the prediction


def train_epochs(
    cache: WorkerCache,
    clinic: Clinic,
    received: Payload,
    epochs: "Epochs",
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    *,
    client_state: ClientState | None = None,
    round_index: int = 1,
) -> Training:
    """Write the adapter into the model and train it in place over the given epochs, as the run's strategy trains.

    kept: the clinic's state; its first one, where there is none.
    """
    from clinfed.adapters.weights import write_state
    from clinfed.training.frozen_rows import label_rows, restore_rows, without_rows
    from clinfed.training.loop import frozen, train

    tagger = cache.tagger(len(clinic.codes))
    encoded = cache.examples(clinic)
    write_state(tagger, received.adapter)
    run, strategy = cache.run, cache.run.strategy
    gradient = gradient_of(strategy, received, client_state or strategy.first(received), run.training.device)
    rows = label_rows(tagger, run.task, cache.rare(clinic))
    if rows:
        gradient = without_rows(gradient, rows)
    trains = partial(strategy.trainable, round_index=round_index)
    with frozen(tagger, trains), peak_memory(run.training.device) as peak:
        result = train(
            tagger,
            run.task,
            encoded,
            run.training,
            epochs=epochs,
            seed=run.seed,
            clinic=clinic.name,
            pad_id=cache.tokenizer.pad_token_id,
            gradient=gradient,
            report=report,
        )
    restore_rows(tagger, received.adapter, rows)  # weight decay moves them without a gradient
    return Training(result, peak.peak_bytes)


def gradient_of(strategy: Strategy, received: Payload, client_state: ClientState, device: str) -> "Gradient | None":
    """Return the strategy's change of a gradient, with what it needs on the device; None where it changes none."""
    if not strategy.changes_gradients:
        return None
    import torch

    def on_device(states: Mapping[str, AdapterState]) -> dict[str, dict[str, torch.Tensor]]:
        """Return tensor name -> what the strategy calls it -> the tensor."""
        return {
            name: {called: torch.tensor(state[name], device=device) for called, state in states.items()}
            for name in received.adapter
        }

    sent, own = on_device({"adapter": received.adapter, **received.extra}), on_device(client_state.memory)
    return lambda name, gradient, weight: strategy.gradient(name, gradient, weight, sent[name], own[name])


def train_round(
    cache: WorkerCache, clinic: Clinic, received: Payload, round_index: int, *, run_key: str = "", state_round: int = 0
) -> tuple[Training, Payload]:
    """Train a clinic's epochs of one round (from 1) of a federation; return also what goes up.

    run_key, state_round: the run and round whose client state the clinic starts from; 0: from a first one.
    Raises: ValueError where the coordinator has sent other tensors than the strategy's schema says; DivergedError.
    """
    from clinfed.adapters.weights import read_state
    from clinfed.training.loop import held_rows
    from clinfed.training.max_update import largest_step
    from clinfed.training.untrained import row_prints

    run, strategy = cache.run, cache.run.strategy
    if received.flat.shapes != strategy.schema(received.adapter.shapes, round_index).down:
        raise ValueError("the message's tensors are not those of the strategy's schema")
    if round_index == 1:
        cache.first_rows = row_prints(received.adapter)
    first = strategy.first(received)
    place = Place(run_key, clinic.name, cache.fingerprint(clinic)) if first.memory else None
    client_state = (states.load(place, state_round) if place and state_round else None) or first
    epochs, tagger = run.epochs_of_round(round_index), cache.tagger(len(clinic.codes))
    if clinic.policy:
        clinic.policy.refuse_embeddings(tagger.encoder)
    try:
        training = train_epochs(cache, clinic, received, epochs, client_state=client_state, round_index=round_index)
    except DivergedError as error:
        raise DivergedError(f"round {round_index}, clinic {clinic.name}: {error}") from None
    if clinic.policy:
        clinic.policy.refuse_few_steps(training.result)
    report = LocalReport(
        round_index,
        training.result.notes,
        training.result.steps,
        training.result.learning_rates,
        largest_step(run.training),
        partial(held_rows, tagger, run.task, cache.examples(clinic)),
    )
    payload, after = strategy.update(received, read_state(tagger), client_state, report)
    if place:
        states.save(place, after, before=state_round)
    return training, payload


def evaluate(
    cache: WorkerCache, clinic: Clinic, state: AdapterState, split: str, *, test_evaluation: bool, replicates: bool
) -> Evaluation:
    """Return the counts of the adapter on one split.

    A test evaluation also counts lexicons and ensemble, if the task finds mentions.

    A simulated clinic sees all training notes and so can evaluate the pooled lexicon on its share; a site cannot.
    """
    from clinfed.adapters.weights import write_state

    tagger = cache.tagger(len(clinic.codes))
    encoded = cache.encoded(clinic, split)
    notes = clinic.split(split)
    started = time.perf_counter()
    write_state(tagger, state)
    with peak_memory(cache.run.training.device) as peak:
        predicted = predict_notes(cache, clinic, state, encoded)
    if split == "validation" and replicates:
        cache.validated[clinic.name] = (state.sha256(), predicted)
    task = cache.run.task
    options: dict[str, Any] = {"test_evaluation": test_evaluation, "replicates": replicates}
    counts = against_both(task, clinic, protocol.FEDERATED, notes, predicted, **options)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    if test_evaluation and task.has_spans:
        unseen = _unseen(cache, clinic, state)
        beside: dict[str, Mapping[str, Any]] = {
            **_lexicons(cache, clinic, notes),
            protocol.ENSEMBLE: _ensemble(cache, clinic, unseen, notes, predicted),
        }
        for system, spans in beside.items():
            counts |= against_both(task, clinic, system, notes, spans, **options)
        if clinic.simulated and cache.run.corpus.is_public(clinic.notes):
            _keep(clinic, state, {hits.ADAPTER: predicted, **beside}, unseen)
    return Evaluation(counts, len(notes), seconds, time.perf_counter() - started, peak.peak_bytes)


def predict_notes(cache: WorkerCache, clinic: Clinic, state: AdapterState, encoded: "Encoded") -> Predicted:
    """Return what the task predicts of each note, by note id: spans with scores, where it finds mentions.

    state: what the model holds; codes that nobody has trained are not predicted.
    """
    from clinfed.training.predict import predict
    from clinfed.training.untrained import masked

    run, tagger, pad_id = cache.run, cache.tagger(len(clinic.codes)), cache.tokenizer.pad_token_id
    with masked(tagger, run.task, cache.untrained(state, len(clinic.codes))):
        return predict(tagger, run.task, encoded, clinic.codes, run.training, pad_id=pad_id)


def _unseen(cache: WorkerCache, clinic: Clinic, state: AdapterState) -> Predicted:
    """Return the spans that the model, which holds the state, finds in the clinic's validation notes."""
    of, found = cache.validated.get(clinic.name, ("", {}))
    if of == state.sha256() or not clinic.split("validation"):
        return found
    return predict_notes(cache, clinic, state, cache.encoded(clinic, "validation"))


def _ensemble(
    cache: WorkerCache, clinic: Clinic, unseen: Predicted, notes: Sequence[Note], predicted: Predicted
) -> dict[str, frozenset[Span]]:
    """Return the model's spans joined with the clinic's own lexicon, as far as its validation notes justify each.

    With too few validation patients they are the model's alone.
    """
    lexicon = cache.own_lexicon(clinic)
    known = clinic.split("validation")
    scored = ((note.spans, unseen[note.id], lexicon.scored(note.text)) for note in known)
    ensemble = Ensemble.fit(scored, patients=len({note.unit for note in known}))
    return {note.id: ensemble.spans(predicted[note.id], lexicon.scored(note.text)) for note in notes}


def _keep(
    clinic: Clinic, state: AdapterState, systems: Mapping[str, Mapping[str, Collection[Span]]], unseen: Predicted
) -> None:
    """Keep here what the report needs beside counts; of public notes only, and never at a real site.

    systems: what each has found in the test notes; unseen: what the adapter has found in the validation notes.
    """
    notes, known = clinic.split("test"), clinic.split("validation")
    found = {hits.ADAPTER: hits.found(notes, systems[hits.ADAPTER])}
    units = {system: unit_counts.count_units(evaluated(notes, spans)) for system, spans in systems.items()}
    validated = {hits.ADAPTER: unit_counts.count_units(evaluated(known, unseen))}
    counted = {system: outcomes.count_outcomes(notes, spans) for system, spans in systems.items()}
    trained = clinic.lexicon_from or clinic.pooled_train or ()  # in one place, the learner's notes
    parted = siblings.siblings(units, {note.unit for note in trained})
    trees: dict[str, Any] = {
        artefacts.HITS: hits.to_json(hits.mentions_of(notes), found),
        artefacts.UNITS: unit_counts.to_json(units),
        artefacts.VALIDATION_UNITS: unit_counts.to_json(validated),
        artefacts.OUTCOMES: outcomes.to_json(counted),
        **({artefacts.SIBLINGS: parted} if parted else {}),
    }
    for file, tree in trees.items():
        artefacts.keep(artefact_file(state.sha256(), clinic.name, file), tree)


def _lexicons(cache: WorkerCache, clinic: Clinic, notes: Sequence[Note]) -> dict[str, dict[str, list[Span]]]:
    """Return the spans that lexicons find, by system and note id."""
    lexicons = {protocol.CLINIC_LEXICONS: cache.lexicon(clinic.name, clinic.split("train"))}
    if clinic.pooled_train is not None:
        # No clinic has the empty name: it stands for all of them.
        lexicons[protocol.POOLED_LEXICON] = cache.lexicon("", clinic.pooled_train)
    return {system: {note.id: lexicon.predict(note.text) for note in notes} for system, lexicon in lexicons.items()}


def against_both(
    task: "Task",
    clinic: Clinic,
    system: str,
    notes: Sequence[Note],
    predicted: Mapping[str, Any],
    *,
    test_evaluation: bool,
    replicates: bool,
) -> protocol.Evaluated:
    """Return the counts against all gold and, at the test evaluation, also against what the task can represent."""
    golds = task.golds(notes, clinic.codes) if test_evaluation else {protocol.ALL_GOLD: notes}
    # Simulated clinics share no patient, and their counts must add up to the pooled.
    policy, rule = clinic.policy, None
    if policy or not clinic.simulated:
        shared = frozenset(clinic.codes if test_evaluation or not policy else ())  # per round, totals only
        rule = Rule(shared, clinic.small_cell_threshold, policy.replicates if policy else 0)
    wanted = protocol.REPLICATES if replicates else 0
    counts = task.count(golds, predicted, replicates=wanted, seed=SEED, clinic=clinic.bootstrap_key, rule=rule)
    return {(system, gold): each for gold, each in counts.items()}
