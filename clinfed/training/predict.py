"""Prediction: batches of encoded notes through the model, and back to a prediction for each note."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from clinfed.tasks.base import Row, Task
from clinfed.training.batches import plan_batches
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast
from clinfed.training.settings import Training

T = TypeVar("T")
R = TypeVar("R")

# Padded tokens a batch: on a CPU what fits its caches is fastest, on a GPU what keeps it busy.
PREDICTION_TOKENS = {"cpu": 1024, "cuda": 16384}


def predict(
    tagger: Tagger, task: Task, encoded: Encoded, codes: Sequence[str], settings: Training, *, pad_id: int
) -> dict[str, Any]:
    """Return the prediction of each note, by note id: what task.decode makes, such as spans with their scores."""
    found = predict_rows(tagger, task, list(encoded.notes), encoded.rows, codes, settings, pad_id=pad_id)
    return {note["id"]: each for note, each in zip(encoded.notes, found, strict=True)}


def predict_rows(
    tagger: Tagger,
    task: Task,
    notes: Sequence[Row],
    rows: Sequence[Row],
    codes: Sequence[str],
    settings: Training,
    *,
    pad_id: int,
    workers: int = 1,
) -> list[Any]:
    """Return each note's prediction.

    notes, rows: of Examples. workers: batches at a time, which changes no number; each computes with settings.threads.
    """
    torch.set_num_threads(settings.threads)
    tagger.eval()
    batch_tokens = PREDICTION_TOKENS[settings.device.split(":")[0]]
    plan = plan_batches([len(row["input_ids"]) for row in rows], batch_notes=0, batch_tokens=batch_tokens)

    @torch.inference_mode()  # holds in the thread that calls, as autocast does
    def outputs(chosen: Sequence[int]) -> Any:
        batch = task.collate(rows, chosen, pad_id).to(settings.device)
        with autocast(settings.device, settings.bf16):
            return task.outputs(tagger, batch)

    return task.decode(notes, rows, zip(plan, _each(outputs, plan, workers), strict=True), codes)


def _each(function: Callable[[T], R], arguments: Sequence[T], workers: int) -> Iterator[R]:
    """Yield what the function gives for each argument, in order, several of them computed at a time."""
    if workers == 1:
        yield from map(function, arguments)
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(function, arguments)
