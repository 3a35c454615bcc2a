"""Negative controls: where there is nothing to learn nothing is reached, and test patients are patients like others."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.adapters.full import Full
from clinfed.baselines.lexicon import Lexicon
from clinfed.bases import Base
from clinfed.corpus.note import Note, Span
from clinfed.corpus.splits import split_of
from clinfed.corpus.synthetic import generate
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.spans import count_spans, evaluated
from clinfed.tasks.tagging.factored import JerlFactored
from clinfed.training.encoded import encode_notes
from clinfed.training.loop import train
from clinfed.training.model import build
from clinfed.training.predict import predict
from clinfed.training.schedules import Epochs
from clinfed.training.settings import Training
from tests.training.invented import CODES, invented_notes

SETTINGS = Training(learning_rate=5e-3, batch_notes=8, window=32, stride=8)
EPOCHS = 8
PATIENTS = 40


def shuffled(notes: Sequence[Note]) -> list[Note]:
    """Return the notes with the codes of all mentions dealt anew: places and frequencies stay."""
    codes = [span.code for note in notes for span in note.spans]
    random.Random(0).shuffle(codes)
    rest = iter(codes)
    return [replace(note, spans=tuple(Span(span.fragments, next(rest)) for span in note.spans)) for note in notes]


def scored(notes: Sequence[Note], predicted: Any) -> SpanCounts:
    return count_spans(evaluated(notes, predicted), replicates=1000)


def f1(counts: SpanCounts) -> float:
    return counts.micro().f1


@pytest.mark.parametrize(("dealt_anew", "low", "high"), [(False, 0.9, 1.0), (True, 0.15, 0.5)])
def test_a_tagger_trained_on_shuffled_codes_scores_near_chance(
    small_base: Callable[..., Base], tokenizer: Any, tmp_path: Path, dealt_anew: bool, low: float, high: float
) -> None:
    task, notes, unseen = JerlFactored(), invented_notes(96), invented_notes(96, seed=1)
    options: Any = {"window": 32, "stride": 8, "cache": tmp_path / "cache"}
    tagger = build(small_base(), Full(), task, len(CODES), seed=0)
    encoded = encode_notes(task, shuffled(notes) if dealt_anew else notes, tokenizer, CODES, **options)
    epochs = Epochs(range(EPOCHS), EPOCHS)
    train(tagger, task, encoded, SETTINGS, epochs=epochs, seed=0, clinic="pooled", pad_id=0)
    found = predict(tagger, task, encode_notes(task, unseen, tokenizer, CODES, **options), CODES, SETTINGS, pad_id=0)
    # Chance: the spans are found, and one code of three is right.
    assert low <= f1(scored(unseen, found)) <= high


@pytest.fixture(scope="module")
def notes() -> list[Note]:
    return generate(0, PATIENTS)


def by_lexicon(train_notes: Sequence[Note], unseen: Sequence[Note]) -> SpanCounts:
    lexicon = Lexicon.fit(train_notes)
    return scored(unseen, {note.id: lexicon.predict(note.text) for note in unseen})


def test_a_lexicon_of_shuffled_codes_scores_near_chance(notes: list[Note]) -> None:
    learnt, unseen = ([note for note in notes if split_of(note) == split] for split in ("train", "test"))
    mentions = [span.code for note in learnt for span in note.spans]
    _, counts = np.unique(mentions, return_counts=True)
    chance = float(((counts / counts.sum()) ** 2).sum())  # that two mentions have one code
    assert f1(by_lexicon(learnt, unseen)) > 0.3
    assert f1(by_lexicon(shuffled(learnt), unseen)) < 3 * chance < 0.15


def test_fresh_patients_score_as_the_test_set_does(notes: list[Note]) -> None:
    learnt, unseen = ([note for note in notes if split_of(note) == split] for split in ("train", "test"))
    fresh = generate(1, PATIENTS)
    assert not {note.unit for note in fresh} & {note.unit for note in notes}
    ours, theirs = by_lexicon(learnt, unseen), by_lexicon(learnt, fresh)
    spread = np.hypot(*((high - low) / 4 for low, high in (ours.interval(), theirs.interval())))  # standard error
    assert abs(f1(ours) - f1(theirs)) < 2.5 * spread
    # What was learnt from is no test set: there the same lexicon does better than on patients that it has not seen.
    assert f1(by_lexicon(learnt, learnt)) - f1(theirs) > 2.5 * spread
