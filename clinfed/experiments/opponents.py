"""Opponents that train no adapter of their own: each clinic's lexicon, and an ensemble of the clinics' own adapters.

A comparison runs them in a process of their own, as it runs `clinfed train`:

    python -m clinfed.experiments.opponents lexicons OVERRIDES
    python -m clinfed.experiments.opponents ensemble OVERRIDES -- RUNS

Their records look like those of training, without steps: all clinics' validation and test notes are evaluated.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed import protocol
from clinfed.adapters.folder import load_state
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import write_state
from clinfed.baselines.chosen_lexicon import SETTINGS, ChosenLexicon
from clinfed.baselines.votes import THRESHOLDS, least_vote, voted, votes
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Clinic
from clinfed.clinic.work import against_both, predict_notes
from clinfed.corpus.note import Span
from clinfed.errors import UserError
from clinfed.experiments.train import Pooled, answer, first_model, gather
from clinfed.protocol import Answer
from clinfed.runs import record as records
from clinfed.runs import status
from clinfed.runs.recorder import Recorder
from clinfed.runs.state import Round
from server.model import run_folder

if TYPE_CHECKING:
    from clinfed.baselines.ensemble import Scored

SPLITS = ("validation", "test")
Predictions = Mapping[str, Mapping[str, Sequence[Span]]]  # clinic -> note id -> spans


def lexicons(overrides: Sequence[str]) -> Path:
    """Evaluate each clinic's own lexicon on its own notes, its settings chosen on the clinic's validation notes."""
    started, cache = time.perf_counter(), WorkerCache(list(overrides))
    learner, clinics = gather(cache)
    chosen = {each.name: ChosenLexicon.fit(each.split("train"), each.split("validation")) for each in clinics}
    found = {
        split: {
            each.name: {note.id: chosen[each.name].predict(note.text) for note in each.split(split)} for each in clinics
        }
        for split in SPLITS
    }
    settings = [
        f"{name}: least share {each.least_share}, {'with' if each.filtered else 'without'} left context"
        for name, each in sorted(chosen.items())
    ]
    reason = f"each clinic's best of {len(SETTINGS)} settings on validation; {'; '.join(settings)}"
    return _finish(cache, learner, clinics, found, reason=reason, started=started)


def ensemble(overrides: Sequence[str], runs: Sequence[Path]) -> Path:
    """Evaluate runs' adapters together: a span is kept if the mean of their scores reaches a threshold.

    The threshold is the best on all clinics' validation notes, by merged counts.
    """
    started, cache = time.perf_counter(), WorkerCache(list(overrides))
    if len(runs) < 2:
        raise UserError(f"an ensemble of {len(runs)} adapters: expected two or more; run the rows of the clinics first")
    learner, clinics = gather(cache)
    cast: dict[str, dict[str, dict[str, Scored]]] = {split: {} for split in SPLITS}
    for split in SPLITS:
        by_run = [_scored(cache, clinics, load_state(run / "adapter"), split) for run in runs]
        for clinic in clinics:
            each_run = [found[clinic.name] for found in by_run]
            cast[split][clinic.name] = {
                note.id: votes([of[note.id] for of in each_run]) for note in clinic.split(split)
            }
    known = [
        (note.spans, cast["validation"][each.name][note.id]) for each in clinics for note in each.split("validation")
    ]
    least = least_vote(known)
    found = {
        split: {
            name: {identity: voted(scores, least) for identity, scores in notes.items()} for name, notes in of.items()
        }
        for split, of in cast.items()
    }
    reason = f"{len(runs)} adapters, least mean score {least} of {len(THRESHOLDS)} tried on validation"
    return _finish(cache, learner, clinics, found, reason=reason, started=started)


def _scored(
    cache: WorkerCache, clinics: Sequence[Clinic], state: AdapterState, split: str
) -> Mapping[str, Mapping[str, "Scored"]]:
    """Return what an adapter finds in each clinic's notes: clinic -> note id -> spans with scores."""
    found = {}
    for clinic in clinics:
        write_state(cache.tagger(len(clinic.codes)), state)
        found[clinic.name] = predict_notes(cache, clinic, state, cache.encoded(clinic, split))
    return found


def _finish(
    cache: WorkerCache,
    learner: Clinic,
    clinics: Sequence[Clinic],
    found: Mapping[str, Predictions],
    *,
    reason: str,
    started: float,
) -> Path:
    """Write counts and record of what was found on each split; return the record's path."""
    _, prints = first_model(cache, cache.tagger(len(learner.codes)))
    recorder = Recorder(cache.run, learner.codes, prints)
    validated, tested = (_answers(cache, clinics, found[split], split) for split in SPLITS)
    recorder.add_round(Round(1, 0, [], validated, seconds=time.perf_counter() - started))
    held = Pooled(
        {each.name: each.manifest() for each in clinics},
        {},
        {each.name: each.skipped for each in clinics},
    )
    seconds = time.perf_counter() - started
    nothing = AdapterState({})
    record = recorder.finish(tested, nothing, held, system="local", seconds=seconds, chosen=(1, reason))
    folder = run_folder(cache.run)
    records.write_counts(folder / records.COUNTS, recorder.counts)
    records.write_counts(folder / records.VALIDATION_COUNTS, recorder.validation_counts)
    records.write(folder / "record.json", record)  # last: with it the run is complete
    return folder / "record.json"


def _answers(cache: WorkerCache, clinics: Sequence[Clinic], found: Predictions, split: str) -> list[Answer]:
    """Return each clinic's counts on one split, none where it holds no notes of it."""
    answers = []
    for clinic in clinics:
        if notes := clinic.split(split):
            task, system, spans = cache.run.task, protocol.FEDERATED, found[clinic.name]
            is_test = split == "test"
            counts = against_both(task, clinic, system, notes, spans, test_evaluation=is_test, replicates=True)
            answers.append(answer(cache, clinic.name, {"notes": len(notes)}, counts))
    return answers


def main(arguments: Sequence[str]) -> int:
    """Run one opponent; return the exit code. The status file says what a user did wrong."""
    kind, *rest = arguments
    cut = rest.index("--") if "--" in rest else len(rest)
    overrides, runs = rest[:cut], [Path(each) for each in rest[cut + 1 :]]
    try:
        print(f"run record: {lexicons(overrides) if kind == 'lexicons' else ensemble(overrides, runs)}")
    except UserError as error:
        if file := os.environ.get(status.VARIABLE):
            status.write(Path(file), replace(status.Status(), error=str(error)))
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
