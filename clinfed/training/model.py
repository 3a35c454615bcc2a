"""Tagger: a frozen base with its adapter, and the task's head on top."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clinfed.bases import load_encoder, load_language_head, refuse_other_kind
from clinfed.errors import UserError
from clinfed.training.determinism import seed_everything
from clinfed.training.device import refuse_absent

if TYPE_CHECKING:
    from clinfed.adapters.base import Adapter
    from clinfed.bases import Base
    from clinfed.tasks.base import Task


class Tagger(nn.Module):
    """Encoder and head; `hidden` gives the vectors of the words that a batch evaluates, in order."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def hidden(self, input_ids: Tensor, attention_mask: Tensor, evaluated: Tensor) -> Tensor:
        """Return the encoder's output at the evaluated positions.

        Shapes: input_ids, attention_mask (B, T) int64; evaluated (B, T) bool with N true; returns (N, H).
        """
        hidden_BTH = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden_BTH[evaluated]


def build(base: "Base", adapter: "Adapter", task: "Task", num_codes: int, *, seed: int, device: str = "cpu") -> Tagger:
    """Return a tagger whose adapter and head are new, drawn from the seed: the same on every side.

    The base is drawn from nothing: its bytes are those of its files. Raises: UserError for a GPU that is not there, and
    for a base of another kind than the task asks for.
    """
    refuse_absent(device)
    refuse_other_kind(base, task.base_kind, task.option)
    encoder = load_encoder(base, quantization=adapter.quantization(), device=device)
    hidden_size = encoder.config.hidden_size
    seed_everything("first state", seed)
    adapted = adapter.attach(encoder)
    head = load_language_head(base, device=device) if task.head_of_base else task.head(hidden_size, num_codes)
    tagger = Tagger(adapted, head)
    if not trainable_weights(tagger):
        raise UserError(f"task={task.option}: with this adapter nothing is trained; choose adapter=lora or another")
    return tagger.to(device)


def trainable_weights(tagger: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training changes."""
    return [parameter for parameter in tagger.parameters() if parameter.requires_grad]


def autocast(device: str, bf16: bool) -> torch.autocast:
    """Return bfloat16 autocast, switched off where the machine only emulates it."""
    fast = device.startswith("cuda") or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=bf16 and fast)
