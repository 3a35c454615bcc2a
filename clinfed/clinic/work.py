"""A clinic's work, without Flower: local training and strict judgement. The plain loop uses the same functions."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.baselines.ensemble import Join
from clinfed.clinic import states
from clinfed.clinic.cache import Predicted, Warm
from clinfed.clinic.data import Clinic
from clinfed.clinic.states import Place
from clinfed.corpus.note import Note, Span
from clinfed.errors import DivergedError
from clinfed.evaluation import artefacts, hits, unit_counts
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.small_cells import Rule
from clinfed.evaluation.spans import judged
from clinfed.home import kept_file
from clinfed.probes.memory import peak_memory
from strategies.base import ClientState, LocalReport, Strategy

if TYPE_CHECKING:
    from clinfed.tasks.base import Task
    from clinfed.training.encoded import Encoded
    from clinfed.training.loop import Gradient, TrainResult
    from clinfed.training.schedules import Passes


@dataclass(frozen=True)
class Training:
    """What training gave, and the peak memory that it took."""

    result: "TrainResult"
    peak_bytes: int


@dataclass(frozen=True)
class Judgement:
    """Counts by (system, gold), and what judging took."""

    counts: protocol.Judged
    notes: int
    seconds: float  # prediction and counting of the adapter
    lexicon_s: float
    peak_bytes: int  # of the prediction


def train_passes(
    warm: Warm,
    clinic: Clinic,
    received: Payload,
    passes: "Passes",
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    *,
    kept: ClientState | None = None,
    round_index: int = 1,
) -> Training:
    """Write the adapter into the model and train it in place over the given passes, as the run's strategy trains.

    kept: the clinic's state; its first one, where there is none.
    """
    from clinfed.adapters.weights import write_state
    from clinfed.training.loop import frozen, train

    tagger = warm.tagger(len(clinic.codes))
    encoded = warm.encoded(clinic, "train")
    write_state(tagger, received.adapter)
    run, strategy = warm.run, warm.run.strategy
    gradient = gradient_of(strategy, received, kept or strategy.first(received), run.training.device)
    trains = partial(strategy.trainable, round_index=round_index)
    with frozen(tagger, trains), peak_memory(run.training.device) as peak:
        result = train(
            tagger,
            run.task,
            encoded,
            run.training,
            passes=passes,
            seed=run.seed,
            clinic=clinic.name,
            pad_id=warm.tokenizer.pad_token_id,
            gradient=gradient,
            report=report,
        )
    return Training(result, peak.peak_bytes)


def gradient_of(strategy: Strategy, received: Payload, kept: ClientState, device: str) -> "Gradient | None":
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

    sent, own = on_device({"adapter": received.adapter, **received.extra}), on_device(kept.memory)
    return lambda name, gradient, weight: strategy.gradient(name, gradient, weight, sent[name], own[name])


def train_round(
    warm: Warm, clinic: Clinic, received: Payload, round_index: int, *, run_key: str = "", state_round: int = 0
) -> tuple[Training, Payload]:
    """Train a clinic's passes of one round (from 1) of a federation; return also what goes up.

    run_key, state_round: of which run and round the clinic's state is taken up; 0: it begins with its first one.
    Raises: ValueError where the coordinator has sent other tensors than the strategy's schema says; DivergedError.
    """
    from clinfed.adapters.weights import read_state
    from clinfed.training.loop import held_rows
    from clinfed.training.max_update import largest_step

    run, strategy = warm.run, warm.run.strategy
    if received.flat.shapes != strategy.schema(received.adapter.shapes, round_index).down:
        raise ValueError("the message's tensors are not those of the strategy's schema")
    first = strategy.first(received)
    place = Place(run_key, clinic.name, warm.fingerprint(clinic)) if first.memory else None
    kept = (states.load(place, state_round) if place and state_round else None) or first
    passes = run.passes_of_round(round_index)
    try:
        training = train_passes(warm, clinic, received, passes, kept=kept, round_index=round_index)
    except DivergedError as error:
        raise DivergedError(f"round {round_index}, clinic {clinic.name}: {error}") from None
    tagger = warm.tagger(len(clinic.codes))
    report = LocalReport(
        round_index,
        training.result.notes,
        training.result.steps,
        training.result.learning_rates,
        largest_step(run.training),
        partial(held_rows, tagger, run.task, warm.encoded(clinic, "train")),
    )
    payload, after = strategy.update(received, read_state(tagger), kept, report)
    if place:
        states.save(place, after, before=state_round)
    return training, payload


def judge(warm: Warm, clinic: Clinic, state: AdapterState, split: str, *, closing: bool, replicates: bool) -> Judgement:
    """Return the counts of the adapter on one split; at the closing also of lexicons and join, if it finds mentions.

    A simulated clinic sees all training notes and so can judge the pooled lexicon on its share; a site cannot.
    """
    from clinfed.adapters.weights import write_state

    tagger = warm.tagger(len(clinic.codes))
    encoded = warm.encoded(clinic, split)
    notes = clinic.split(split)
    started = time.perf_counter()
    write_state(tagger, state)
    with peak_memory(warm.run.training.device) as peak:
        predicted = _predicted(warm, clinic, encoded)
    if split == "validation" and replicates:
        warm.validated[clinic.name] = (state.sha256(), predicted)
    task, options = warm.run.task, {"closing": closing, "replicates": replicates}
    counts = against_both(task, clinic, protocol.FEDERATED, notes, predicted, **options)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    if closing and task.has_spans:
        unseen = _unseen(warm, clinic, state)
        beside = {**_lexicons(warm, clinic, notes), protocol.JOINED: _joined(warm, clinic, unseen, notes, predicted)}
        for system, spans in beside.items():
            counts |= against_both(task, clinic, system, notes, spans, **options)
        if clinic.simulated and warm.run.corpus.is_public(clinic.notes):
            _keep(clinic, state, {hits.ADAPTER: predicted, **beside}, unseen)
    return Judgement(counts, len(notes), seconds, time.perf_counter() - started, peak.peak_bytes)


def _predicted(warm: Warm, clinic: Clinic, encoded: "Encoded") -> Predicted:
    """Return what the task predicts of each note, by note id: spans with scores, where it finds mentions."""
    from clinfed.training.predict import predict

    tagger, pad_id = warm.tagger(len(clinic.codes)), warm.tokenizer.pad_token_id
    return predict(tagger, warm.run.task, encoded, clinic.codes, warm.run.training, pad_id=pad_id)


def _unseen(warm: Warm, clinic: Clinic, state: AdapterState) -> Predicted:
    """Return the spans that the model, which holds the state, finds in the clinic's validation notes."""
    of, found = warm.validated.get(clinic.name, ("", {}))
    if of == state.sha256() or not clinic.split("validation"):
        return found
    return _predicted(warm, clinic, warm.encoded(clinic, "validation"))


def _joined(
    warm: Warm, clinic: Clinic, unseen: Predicted, notes: Sequence[Note], predicted: Predicted
) -> dict[str, frozenset[Span]]:
    """Return the model's spans joined with the clinic's own lexicon, as far as its validation notes justify each."""
    lexicon = warm.own_lexicon(clinic)
    known = clinic.split("validation")
    join = Join.fit((note.spans, unseen[note.id], lexicon.scored(note.text)) for note in known)
    return {note.id: join.spans(predicted[note.id], lexicon.scored(note.text)) for note in notes}


def _keep(
    clinic: Clinic, state: AdapterState, systems: Mapping[str, Mapping[str, Collection[Span]]], unseen: Predicted
) -> None:
    """Keep here what intervals by code and tests by mention need; of public notes only, and never at a real site.

    systems: what each has found in the test notes; unseen: what the adapter has found in the validation notes.
    """
    notes, known = clinic.split("test"), clinic.split("validation")
    found = {hits.ADAPTER: hits.found(notes, systems[hits.ADAPTER])}
    units = {system: unit_counts.count_units(judged(notes, spans)) for system, spans in systems.items()}
    validated = {hits.ADAPTER: unit_counts.count_units(judged(known, unseen))}
    trees = {
        artefacts.HITS: hits.to_json(hits.mentions_of(notes), found),
        artefacts.UNITS: unit_counts.to_json(units),
        artefacts.VALIDATION_UNITS: unit_counts.to_json(validated),
    }
    for file, tree in trees.items():
        artefacts.keep(kept_file(state.sha256(), clinic.name, file), tree)


def _lexicons(warm: Warm, clinic: Clinic, notes: Sequence[Note]) -> dict[str, dict[str, list[Span]]]:
    """Return the spans that lexicons find, by system and note id."""
    lexicons = {protocol.CLINIC_LEXICONS: warm.lexicon(clinic.name, clinic.split("train"))}
    if clinic.pooled_train is not None:
        # No clinic has the empty name: it stands for all of them.
        lexicons[protocol.POOLED_LEXICON] = warm.lexicon("", clinic.pooled_train)
    return {system: {note.id: lexicon.predict(note.text) for note in notes} for system, lexicon in lexicons.items()}


def against_both(
    task: "Task",
    clinic: Clinic,
    system: str,
    notes: Sequence[Note],
    predicted: Mapping[str, Any],
    *,
    closing: bool,
    replicates: bool,
) -> protocol.Judged:
    """Return the counts against all gold and, at the closing, also against what the task can represent."""
    golds = task.golds(notes, clinic.codes) if closing else {protocol.ALL_GOLD: notes}
    # Simulated clinics share no patient, and their counts must add up to the pooled.
    rule = None if clinic.simulated else Rule(frozenset(clinic.codes), clinic.small_cell_threshold)
    drawn = protocol.REPLICATES if replicates else 0
    counts = task.count(golds, predicted, replicates=drawn, seed=SEED, clinic=clinic.bootstrap_key, rule=rule)
    return {(system, gold): each for gold, each in counts.items()}
