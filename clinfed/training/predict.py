"""Prediction: encoded notes to spans, and to spans with scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from clinfed.corpus.note import Span
from clinfed.tasks.bio import OUTSIDE, spans_of
from clinfed.training.batches import Batch, collate, plan_batches
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from clinfed.tasks.base import Task

T, R = TypeVar("T"), TypeVar("R")

# Padded tokens a batch: on a CPU what fits its caches is fastest, on a GPU what keeps it busy.
PREDICTION_TOKENS = {"cpu": 1024, "cuda": 16384}


def predict(
    tagger: Tagger, task: "Task", encoded: Encoded, codes: Sequence[str], settings: Training, *, pad_id: int
) -> dict[str, dict[Span, float]]:
    """Return the predicted spans of each note with their scores, by note id."""
    found = predict_rows(tagger, task, list(encoded.notes), encoded.rows, codes, settings, pad_id=pad_id)
    return {note["id"]: spans for note, spans in zip(encoded.notes, found, strict=True)}


def predict_rows(
    tagger: Tagger,
    task: "Task",
    notes: Sequence[Mapping[str, Any]],
    windows: Sequence[dict[str, Any]],
    codes: Sequence[str],
    settings: Training,
    *,
    pad_id: int,
    workers: int = 1,
) -> list[dict[Span, float]]:
    """Return each note's predicted spans, in text order, with their scores: of the first word, by Task.scored.

    notes, windows: the rows of Encoded or Rows. workers: batches at a time, which changes no number; each computes
    with settings.threads.
    """
    torch.set_num_threads(settings.threads)
    tagger.eval()
    tags = [[OUTSIDE] * len(note["starts"]) for note in notes]
    scores = [[0.0] * len(note["starts"]) for note in notes]
    batch_tokens = PREDICTION_TOKENS[settings.device.split(":")[0]]
    plan = plan_batches([len(row["input_ids"]) for row in windows], batch_notes=0, batch_tokens=batch_tokens)

    def judged(chosen: Sequence[int]) -> list[tuple[int, float]]:
        return _judged(tagger, task, collate(windows, chosen, pad_id), settings)

    for chosen, found in zip(plan, _each(judged, plan, workers), strict=True):
        words = iter(found)
        for row in chosen:
            note = windows[row]["note"]
            for word in windows[row]["words"]:
                tags[note][word], scores[note][word] = next(words)
    return [_scored_spans(*each, codes) for each in zip(notes, tags, scores, strict=True)]


def _each(function: Callable[[T], R], arguments: Sequence[T], workers: int) -> Iterator[R]:
    """Yield what the function gives for each argument, in order, several of them computed at a time."""
    if workers == 1:
        yield from map(function, arguments)
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(function, arguments)


@torch.inference_mode()  # holds in the thread that calls, as autocast does
def _judged(tagger: Tagger, task: "Task", batch: Batch, settings: Training) -> list[tuple[int, float]]:
    """Return tag and score of each word that the batch judges, in its order."""
    batch = batch.to(settings.device)
    with autocast(settings.device, settings.bf16):
        hidden = tagger.hidden(batch.input_ids, batch.attention_mask, batch.judged)
        window_of = batch.judged.nonzero()[:, 0]
        found = task.scored(tagger.head, hidden, window_of, batch.hints[batch.judged])
    return list(zip(*(each.tolist() for each in found), strict=True))


def _scored_spans(
    note: Mapping[str, Any], tags: Sequence[int], scores: Sequence[float], codes: Sequence[str]
) -> dict[Span, float]:
    score_at = dict(zip(note["starts"], scores, strict=True))
    words = list(zip(note["starts"], note["ends"], strict=True))
    return {span: score_at[span.start] for span in spans_of(words, tags, codes)}
