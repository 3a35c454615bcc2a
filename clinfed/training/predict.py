"""Prediction: encoded notes to spans."""

from typing import TYPE_CHECKING

import torch

from clinfed.corpus.note import Span
from clinfed.tasks.bio import OUTSIDE, spans_of
from clinfed.training.batches import batches_of, plan_batches
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinfed.tasks.base import Task

PREDICTION_TOKENS = 4096  # padded tokens a batch: without gradients a larger batch only fills caches


@torch.inference_mode()
def predict(
    tagger: Tagger, task: "Task", encoded: Encoded, codes: "Sequence[str]", settings: Training, *, pad_id: int
) -> dict[str, frozenset[Span]]:
    """Return the predicted spans of each note, by note id."""
    torch.set_num_threads(settings.threads)
    tagger.eval()
    tags_by_note: list[list[int]] = [[OUTSIDE] * len(starts) for starts in encoded.notes["starts"]]
    plan = plan_batches(encoded.lengths, batch_notes=0, batch_tokens=PREDICTION_TOKENS)
    for batch in batches_of(encoded.rows, plan, pad_id):
        batch = batch.to(settings.device)
        with autocast(settings.device, settings.bf16):
            hidden = tagger.hidden(batch.input_ids, batch.attention_mask, batch.judged)
            windows = batch.judged.nonzero()[:, 0]
            tags = iter(task.tag(tagger.head, hidden, windows, batch.hints[batch.judged]).tolist())
        for row in batch.rows:
            note_tags = tags_by_note[encoded.rows[row]["note"]]
            for word in encoded.rows[row]["words"]:
                note_tags[word] = next(tags)
    return {
        note["id"]: frozenset(spans_of(list(zip(note["starts"], note["ends"], strict=True)), tags, codes))
        for note, tags in zip(encoded.notes, tags_by_note, strict=True)
    }
