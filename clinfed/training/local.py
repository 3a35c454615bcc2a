"""The training loop: a clinic's passes over its notes in one round, and all of a run's in centralised training."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clinfed.adapters.state import LARGEST_WEIGHT, AdapterState
from clinfed.errors import DivergedError
from clinfed.training.batches import batches_of, plan_batches
from clinfed.training.determinism import seed_everything
from clinfed.training.encoded import Encoded
from clinfed.training.model import Tagger, autocast, learnt
from clinfed.training.schedules import Passes, learning_rate_at
from clinfed.training.settings import Training

if TYPE_CHECKING:
    from clinfed.tasks.base import Task


@dataclass(frozen=True)
class TrainResult:
    """What a clinic reports of its training; loss is the mean over all steps, in nats."""

    loss: float
    notes: int
    tokens: int  # real sub-words seen, over all epochs
    padded_tokens: int  # those and the padding
    steps: int
    seconds: float


def train(
    tagger: Tagger,
    task: "Task",
    encoded: Encoded,
    settings: Training,
    *,
    passes: Passes,
    seed: int,
    clinic: str,
    pad_id: int,
    proximal_mu: float = 0.0,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> TrainResult:
    """Train adapter and head in place over the given passes.

    A new optimiser is made at each call; the order of notes follows from (seed, clinic, global epoch), dropout from
    these and the part: one call over all epochs is centralised training, and one clinic with one round equals it bit
    for bit. Raises: DivergedError where the loss or a weight is no number to go on with.
    """
    torch.set_num_threads(settings.threads)
    started = time.perf_counter()
    parameters = learnt(tagger)
    start = [parameter.detach().clone() for parameter in parameters] if proximal_mu else []
    optimiser = optimiser_of(tagger, settings)
    losses: list[float] = []
    tokens = padded = 0
    tagger.train()
    for epoch in passes.epochs:
        rng = seed_everything("epoch", seed, clinic, epoch)
        plan = plan_batches(
            encoded.lengths, batch_notes=settings.batch_notes, batch_tokens=settings.batch_tokens, rng=rng
        )
        steps = passes.steps(len(plan))
        if passes.part:
            seed_everything("part", seed, clinic, epoch, passes.part)  # else each part had the first one's dropout
        for step, batch in zip(steps, batches_of(encoded.rows, [plan[i] for i in steps], pad_id), strict=True):
            rate = learning_rate_at(epoch + (step + 1) / len(plan), passes.total_epochs, settings)
            set_learning_rate(optimiser, rate)
            batch = batch.to(settings.device)
            with autocast(settings.device, settings.bf16):
                hidden = tagger.hidden(batch.input_ids, batch.attention_mask, batch.judged)
                loss = task.loss(tagger.head, hidden, batch.tags[batch.judged], batch.hints[batch.judged])
            loss.backward()
            pull_back(parameters, start, proximal_mu)
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.item())
            del loss, hidden  # else they would live on beside the next batch's
            if not math.isfinite(losses[-1]):
                raise diverged(epoch, passes, settings, f"the loss is {losses[-1]}")
            tokens, padded = tokens + int(batch.attention_mask.sum()), padded + batch.attention_mask.numel()
        if not all(bool((each.detach().abs() <= LARGEST_WEIGHT).all()) for each in parameters):
            raise diverged(epoch, passes, settings, f"a weight is not finite, or larger than {LARGEST_WEIGHT:,.0f}")
        report(epoch, sum(losses[-len(steps) :]) / max(1, len(steps)))
    mean = sum(losses) / max(1, len(losses))
    return TrainResult(mean, len(encoded), tokens, padded, len(losses), time.perf_counter() - started)


def diverged(epoch: int, passes: Passes, settings: Training, found: str) -> DivergedError:
    """Return what is said of a training that cannot go on."""
    return DivergedError(
        f"training diverged in epoch {epoch + 1} of {passes.total_epochs}: {found}; "
        f"lower training.learning_rate={settings.learning_rate:g} (or training.head_factor={settings.head_factor:g})"
    )


def optimiser_of(tagger: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """Return a new AdamW in whose groups the head learns `head_factor` times as fast as the encoder's adapter."""
    factors = (("encoder", 1.0), ("head", settings.head_factor))
    groups = [{"params": learnt(tagger.get_submodule(part)), "factor": factor} for part, factor in factors]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all parameter groups, each with its factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["factor"]


def pull_back(parameters: list[nn.Parameter], start: list[Tensor], proximal_mu: float) -> None:
    """Add the gradient of proximal_mu/2 * ||w - w_start||^2 (FedProx); nothing without a start."""
    for parameter, first in zip(parameters, start, strict=False):
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - first, alpha=proximal_mu)


def put_back(tagger: Tagger, task: "Task", encoded: Encoded, before: AdapterState) -> None:
    """Give the head's rows of tags that the notes do not hold the numbers back that they had before training."""
    held = torch.tensor(sorted(encoded.tags), dtype=torch.int64)
    with torch.no_grad():
        for name, parameter in tagger.head.named_parameters():
            trained = task.rows(name, held)
            if trained is not None:
                absent = torch.ones(len(parameter), dtype=torch.bool)
                absent[trained] = False
                parameter[absent] = torch.tensor(before[f"head.{name}"])[absent].to(parameter)
