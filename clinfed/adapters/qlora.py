"""QLoRA: LoRA on a base whose linear layers are stored in 4 bits.

Source: Dettmers et al. 2023, QLoRA: Efficient Finetuning of Quantized LLMs, section 3; by bitsandbytes and peft.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from clinfed.adapters.lora import Lora

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig


@dataclass(frozen=True)
class Qlora(Lora):
    """LoRA on an NF4 base with double quantisation, computing in bfloat16; embeddings, norms and head stay float32."""

    four_bit: ClassVar[bool] = True

    def quantization(self) -> "BitsAndBytesConfig":
        """Return NF4 with double quantisation and bfloat16 compute, for CPU and CUDA alike."""
        import torch
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
