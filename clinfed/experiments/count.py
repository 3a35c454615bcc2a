"""What is trained and what travels, from shapes alone: nothing is loaded or downloaded."""

from collections.abc import Sequence

import configs
from clinfed.errors import UserError
from clinfed.probes.parameters import ParameterCount, count_parameters

LABELS_KEY = "head.labels="


def split_labels(overrides: Sequence[str]) -> tuple[int | None, list[str]]:
    """Return the number of tags that head.labels asks for, if it does, and the other overrides."""
    asked = [override.removeprefix(LABELS_KEY) for override in overrides if override.startswith(LABELS_KEY)]
    others = [override for override in overrides if not override.startswith(LABELS_KEY)]
    if not asked:
        return None, others
    tags = int(asked[-1]) if asked[-1].isascii() and asked[-1].isdigit() else 0
    if tags < 3 or tags % 2 == 0:
        raise UserError(f"{LABELS_KEY}{asked[-1]}: expected an odd number of tags, from 3: O, B- and I- of each code")
    return tags, others


def count_run(run: configs.Run, num_codes: int) -> ParameterCount:
    """Return the counts of a run whose head knows this many codes."""
    import torch

    from clinfed.bases import meta_encoder

    encoder = meta_encoder(run.base)
    with torch.device("meta"):
        head = run.task.head(encoder.config.hidden_size, num_codes)
    return count_parameters(encoder, run.adapter, head)


def memory_of(run: configs.Run, num_codes: int) -> dict[str, int]:
    """Return the estimated bytes at the worst moment of training, by part, for the largest batch that can come."""
    from clinfed.probes.estimate import estimate_training

    return estimate_training(run.base, run.adapter, run.task, run.training, num_codes).as_dict()
