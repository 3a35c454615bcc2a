"""The training loop, the only one: a clinic's epochs of one round, or all of a run's in one place."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinfed.adapters.state import LARGEST_WEIGHT
from clinfed.adapters.weights import trainable_parameters
from clinfed.errors import DivergedError
from clinfed.training.batches import plan_batches
from clinfed.training.determinism import seed_everything
from clinfed.training.encoded import TrainingExamples
from clinfed.training.model import Tagger, autocast, trainable_weights
from clinfed.training.schedules import Epochs, learning_rate_at
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from clinfed.tasks.base import Task

# (tensor name, gradient, parameter) -> the gradient to step along: what a federated method makes of it.
Gradient = Callable[[str, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainResult:
    """What a clinic reports of its training; loss is the mean over all steps, in nats."""

    loss: float
    notes: int
    tokens: int  # real sub-words seen, over all epochs
    padded_tokens: int  # those and the padding
    steps: int
    seconds: float
    learning_rates: Mapping[str, float]  # "encoder" and "head" -> the sum over the steps


def train(
    tagger: Tagger,
    task: "Task",
    encoded: TrainingExamples,
    settings: Training,
    *,
    epochs: Epochs,
    seed: int,
    clinic: str,
    pad_id: int,
    gradient: Gradient | None = None,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> TrainResult:
    """Train what requires gradients of adapter and head in place over the given epochs.

    A new optimiser is made at each call; the order of notes follows from (seed, clinic, global epoch), dropout from
    these and the part: one call over all epochs is centralised training, and one clinic with one round equals it bit
    for bit. Raises: DivergedError where the loss or a weight is not finite, or too large.
    """
    torch.set_num_threads(settings.threads)
    started = time.perf_counter()
    parameters = trainable_weights(tagger)
    named = dict(trainable_parameters(tagger)) if gradient else {}
    optimiser = optimiser_of(tagger, settings)
    losses: list[float] = []
    rates, tokens, padded = 0.0, 0, 0
    for epoch in epochs.numbers:
        tagger.train()  # a report may have predicted with it
        rng = seed_everything("epoch", seed, clinic, epoch)
        plan = plan_batches(
            encoded.lengths, batch_notes=settings.batch_notes, batch_tokens=settings.batch_tokens, rng=rng
        )
        steps = epochs.steps(len(plan))
        if epochs.part:
            seed_everything("part", seed, clinic, epoch, epochs.part)  # else each part had the first one's dropout
        for step in steps:
            rate = learning_rate_at(epoch + (step + 1) / len(plan), epochs.total_epochs, settings)
            set_learning_rate(optimiser, rate)
            batch = task.collate(encoded.rows, plan[step], pad_id).to(settings.device)
            with autocast(settings.device, settings.bf16):
                loss = task.loss(tagger, batch)
            loss.backward()
            if gradient is not None:
                change_gradients(named, gradient)
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.item())
            rates += rate
            del loss  # else its graph would live on beside the next batch's
            if not math.isfinite(losses[-1]):
                raise diverged(epoch, epochs, settings, f"the loss is {losses[-1]}")
            tokens, padded = tokens + int(batch.attention_mask.sum()), padded + batch.attention_mask.numel()
        if not all(bool((each.detach().abs() <= LARGEST_WEIGHT).all()) for each in parameters):
            raise diverged(epoch, epochs, settings, f"a weight is not finite, or larger than {LARGEST_WEIGHT:,.0f}")
        report(epoch, sum(losses[-len(steps) :]) / max(1, len(steps)))
    mean = sum(losses) / max(1, len(losses))
    seconds = time.perf_counter() - started
    summed = {part: rates * factor for part, factor in settings.factors.items()}
    return TrainResult(mean, len(encoded), tokens, padded, len(losses), seconds, summed)


def diverged(epoch: int, epochs: Epochs, settings: Training, found: str) -> DivergedError:
    """Return what is said of a training that cannot go on."""
    return DivergedError(
        f"training diverged in epoch {epoch + 1} of {epochs.total_epochs}: {found}; "
        f"lower training.learning_rate={settings.learning_rate:g} (or training.head_factor={settings.head_factor:g})"
    )


def optimiser_of(tagger: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """Return a new optimiser in whose groups the head learns `head_factor` times as fast as the encoder's adapter."""
    parts = settings.factors.items()
    groups = [{"params": trainable_weights(tagger.get_submodule(part)), "factor": factor} for part, factor in parts]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all parameter groups, each with its factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["factor"]


def change_gradients(parameters: Mapping[str, nn.Parameter], gradient: Gradient) -> None:
    """Put in the place of each gradient what the method makes of it."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                parameter.grad = gradient(name, parameter.grad, parameter.detach())


@contextmanager
def frozen(tagger: Tagger, trainable: Callable[[str], bool]) -> Iterator[None]:
    """Let only the parameters train inside whose tensor names are trainable; the others keep their numbers."""
    masked = [parameter for name, parameter in trainable_parameters(tagger) if not trainable(name)]
    for parameter in masked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in masked:
            parameter.requires_grad_(True)


def held_rows(tagger: Tagger, task: "Task", encoded: TrainingExamples, name: str) -> NDArray[np.bool_] | None:
    """Return which rows of a tensor belong to labels that the notes hold, (R,); None where it has no row a label."""
    part, _, inside = name.partition(".")
    held = task.held_rows(encoded.rows, [inside]).get(inside) if part == "head" else None
    if held is None:
        return None
    rows = np.zeros(len(tagger.head.get_parameter(inside)), np.bool_)
    rows[held[held < len(rows)].numpy()] = True  # a mention of no code has no row
    return rows
