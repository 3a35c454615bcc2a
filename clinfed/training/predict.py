"""Prediction: encoded notes to spans, and to spans with scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from clinfed.corpus.note import Span
from clinfed.tasks.bio import OUTSIDE, spans_of
from clinfed.training.batches import batches_of, plan_batches
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from clinfed.tasks.base import Task

# Padded tokens a batch: on a CPU what fits its caches is fastest, on a GPU what keeps it busy.
PREDICTION_TOKENS = {"cpu": 1024, "cuda": 16384}


def predict(
    tagger: Tagger, task: "Task", encoded: Encoded, codes: Sequence[str], settings: Training, *, pad_id: int
) -> dict[str, dict[Span, float]]:
    """Return the predicted spans of each note with their scores, by note id."""
    found = predict_rows(tagger, task, list(encoded.notes), encoded.rows, codes, settings, pad_id=pad_id)
    return {note["id"]: spans for note, spans in zip(encoded.notes, found, strict=True)}


@torch.inference_mode()
def predict_rows(
    tagger: Tagger,
    task: "Task",
    notes: Sequence[Mapping[str, Any]],
    windows: Sequence[dict[str, Any]],
    codes: Sequence[str],
    settings: Training,
    *,
    pad_id: int,
) -> list[dict[Span, float]]:
    """Return each note's predicted spans, in text order, with their scores: of the first word, by Task.scored.

    notes, windows: the rows of Encoded or Rows.
    """
    torch.set_num_threads(settings.threads)
    tagger.eval()
    tags = [[OUTSIDE] * len(note["starts"]) for note in notes]
    scores = [[0.0] * len(note["starts"]) for note in notes]
    batch_tokens = PREDICTION_TOKENS[settings.device.split(":")[0]]
    plan = plan_batches([len(row["input_ids"]) for row in windows], batch_notes=0, batch_tokens=batch_tokens)
    for batch in batches_of(windows, plan, pad_id):
        batch = batch.to(settings.device)
        with autocast(settings.device, settings.bf16):
            hidden = tagger.hidden(batch.input_ids, batch.attention_mask, batch.judged)
            window_of = batch.judged.nonzero()[:, 0]
            judged = task.scored(tagger.head, hidden, window_of, batch.hints[batch.judged])
        words = zip(*(each.tolist() for each in judged), strict=True)
        for row in batch.rows:
            note = windows[row]["note"]
            for word in windows[row]["words"]:
                tags[note][word], scores[note][word] = next(words)
    return [_scored_spans(*each, codes) for each in zip(notes, tags, scores, strict=True)]


def _scored_spans(
    note: Mapping[str, Any], tags: Sequence[int], scores: Sequence[float], codes: Sequence[str]
) -> dict[Span, float]:
    score_at = dict(zip(note["starts"], scores, strict=True))
    words = list(zip(note["starts"], note["ends"], strict=True))
    return {span: score_at[span.start] for span in spans_of(words, tags, codes)}
