"""The vocabulary layer of a base: from the encoder's output to logits of every sub-word."""

from typing import TYPE_CHECKING, Any

from clinfed.bases.base import Base
from clinfed.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def load_language_head(base: Base, *, device: str = "cpu") -> "nn.Module":
    """Return the base's own layers above its encoder, frozen: hidden (N, H) in, logits (N, V) out.

    Raises: UserError for files without them, whose place transformers would fill with random numbers.
    """
    import torch
    from torch import nn
    from transformers import AutoModelForMaskedLM
    from transformers.modeling_outputs import BaseModelOutput

    from clinfed.bases.load import model_config, quiet

    with quiet(), torch.random.fork_rng(devices=[]):
        if base.random_init:
            torch.manual_seed(base.random_seed)
            whole: Any = AutoModelForMaskedLM.from_config(model_config(base), dtype=torch.float32)
        else:
            whole, loading = AutoModelForMaskedLM.from_pretrained(
                base.folder(),
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
            if absent := sorted(loading["missing_keys"]):
                raise UserError(
                    f"base={base.name}: {len(absent)} tensors of its vocabulary layer are not in its safetensors "
                    f"(first: {absent[0]}), which this task needs; choose a base saved as a masked language model"
                )

    class Given(nn.Module):
        """Stands in the encoder's place, and passes on what an encoder with an adapter has said."""

        def forward(self, *args: Any, inputs_embeds: Any = None, **named: Any) -> BaseModelOutput:
            return BaseModelOutput(last_hidden_state=inputs_embeds)

    class LanguageHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(whole, whole.base_model_prefix, Given())
            self.layers = whole

        def forward(self, hidden_NH: "torch.Tensor") -> "torch.Tensor":  # noqa: N803 - its axes
            logits: torch.Tensor = self.layers(inputs_embeds=hidden_NH.unsqueeze(0)).logits[0]
            return logits

    return LanguageHead().requires_grad_(False).to(device)
