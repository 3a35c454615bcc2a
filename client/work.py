"""A clinic's work, without Flower: local training and strict judgement. The plain loop uses the same functions."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.clinic import Clinic
from client.warm import Predicted, Warm
from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.baselines.join import Join
from clinfed.corpus.note import Note, Span
from clinfed.errors import DivergedError
from clinfed.evaluation import hits, kept, small_cells, unit_counts
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.spans import count_spans, judged
from clinfed.home import kept_file
from clinfed.probes.memory import peak_memory

if TYPE_CHECKING:
    from clinfed.training.encoded import Encoded
    from clinfed.training.local import TrainResult
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
    state: AdapterState,
    passes: "Passes",
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Training:
    """Write the state into the model and train it in place over the given passes over the clinic's notes."""
    from clinfed.adapters.weights import write_state
    from clinfed.training.local import train

    tagger = warm.tagger(len(clinic.codes))
    encoded = warm.encoded(clinic, "train")
    write_state(tagger, state)
    run = warm.run
    with peak_memory(run.training.device) as peak:
        result = train(
            tagger,
            run.task,
            encoded,
            run.training,
            passes=passes,
            seed=run.seed,
            clinic=clinic.name,
            pad_id=warm.tokenizer.pad_token_id,
            proximal_mu=run.strategy.proximal_mu,
            report=report,
        )
    return Training(result, peak.peak_bytes)


def train_round(warm: Warm, clinic: Clinic, state: AdapterState, number: int) -> Training:
    """Train a clinic's passes of one round (from 1) of a federation."""
    from clinfed.training.local import put_back

    run = warm.run
    try:
        training = train_passes(warm, clinic, state, run.passes_of_round(number))
    except DivergedError as error:
        raise DivergedError(f"round {number}, clinic {clinic.name}: {error}") from None
    if run.strategy.own_rows:
        put_back(warm.tagger(len(clinic.codes)), run.task, warm.encoded(clinic, "train"), state)
    return training


def judge(warm: Warm, clinic: Clinic, state: AdapterState, split: str, *, closing: bool, replicates: bool) -> Judgement:
    """Return the strict counts of the adapter on one split; at the closing also of lexicons and join.

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
    counts = against_both(warm, clinic, protocol.FEDERATED, notes, predicted, closing=closing, replicates=replicates)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    if closing:
        unseen = _unseen(warm, clinic, state)
        beside = {**_lexicons(warm, clinic, notes), protocol.JOINED: _joined(warm, clinic, unseen, notes, predicted)}
        for system, spans in beside.items():
            counts |= against_both(warm, clinic, system, notes, spans, closing=True, replicates=replicates)
        if clinic.simulated and warm.run.corpus.is_public(clinic.notes):
            _keep(clinic, state, {hits.ADAPTER: predicted, **beside}, unseen)
    return Judgement(counts, len(notes), seconds, time.perf_counter() - started, peak.peak_bytes)


def _predicted(warm: Warm, clinic: Clinic, encoded: "Encoded") -> Predicted:
    """Return the spans that the model finds, with scores, by note id."""
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
        kept.HITS: hits.to_json(hits.mentions_of(notes), found),
        kept.UNITS: unit_counts.to_json(units),
        kept.VALIDATION_UNITS: unit_counts.to_json(validated),
    }
    for file, tree in trees.items():
        kept.keep(kept_file(state.sha256(), clinic.name, file), tree)


def _lexicons(warm: Warm, clinic: Clinic, notes: Sequence[Note]) -> dict[str, dict[str, list[Span]]]:
    """Return the spans that lexicons find, by system and note id."""
    lexicons = {protocol.CLINIC_LEXICONS: warm.lexicon(clinic.name, clinic.split("train"))}
    if clinic.pooled_train is not None:
        # No clinic has the empty name: it stands for all of them.
        lexicons[protocol.POOLED_LEXICON] = warm.lexicon("", clinic.pooled_train)
    return {system: {note.id: lexicon.predict(note.text) for note in notes} for system, lexicon in lexicons.items()}


def against_both(
    warm: Warm,
    clinic: Clinic,
    system: str,
    notes: Sequence[Note],
    predicted: Mapping[str, Collection[Span]],
    *,
    closing: bool,
    replicates: bool,
) -> protocol.Judged:
    """Return the counts against all gold and, at the closing, also against what flat tagging can represent."""
    from dataclasses import replace

    from clinfed.tasks.bio import representable

    golds = {protocol.ALL_GOLD: notes}
    if closing:
        held, _ = representable(notes, clinic.codes)
        golds[protocol.REPRESENTABLE_GOLD] = [replace(note, spans=tuple(held[note.id])) for note in notes]
    tables = {gold: judged(of, predicted) for gold, of in golds.items()}
    least = clinic.small_cell_threshold
    if least:
        tables = {gold: small_cells.with_frequent_languages(table, least) for gold, table in tables.items()}
    # Simulated clinics share no patient, and their counts must add up to the pooled.
    drawn = protocol.REPLICATES if replicates else 0
    options = {"replicates": drawn, "seed": SEED, "clinic": clinic.bootstrap_key}
    counts = {(system, gold): count_spans(table, **options) for gold, table in tables.items()}
    if clinic.simulated:
        return counts
    # A site's own labels may be words of its notes: they are counted, never named.
    named = small_cells.nameable(tables.values(), set(clinic.codes), least)
    firm = {key: small_cells.with_firm_replicates(each, tables[key[1]], least) for key, each in counts.items()}
    return {key: each.folded(named) for key, each in firm.items()}
