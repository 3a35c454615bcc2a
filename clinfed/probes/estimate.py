"""The memory that training will need, before anything is loaded."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from clinfed.probes.heap import Heap
from clinfed.probes.memory import resident_bytes

if TYPE_CHECKING:
    from torch import nn

    from clinfed.adapters.base import Adapter
    from clinfed.bases import Base
    from clinfed.probes.shapes import Event
    from clinfed.tasks.base import Task
    from clinfed.training.settings import Training

FLOAT_BYTES = 4
# Measured with torch 2.13 on x86: code and tables that the first step touches, and, with bfloat16, the kernels that
# oneDNN compiles and keeps for every new shape (a batch whose longest window has another length).
FIRST_USE_BYTES = 15_000_000
BF16_BYTES_PER_SHAPE = 20_000_000


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes at the worst moment of training."""

    baseline: int  # of the process before the base is loaded: interpreter and libraries; 0 on CUDA
    weights: int  # base, adapter and head
    received: (
        int  # the state as it came, held through the training (FedProx: twice); 0 on CUDA: it stays in main memory
    )
    moments: int  # AdamW keeps two float32 numbers for each that is trained
    step: int  # activations, logits and gradients at the worst moment of a step
    allocator: int  # holes in the C library's heap, and what the first steps load; 0 on CUDA

    @property
    def total(self) -> int:
        """Return the peak in bytes, comparable with clinfed.probes.memory.peak_memory."""
        return sum(asdict(self).values())

    def as_dict(self) -> dict[str, int]:
        """Return all parts by name."""
        return {**asdict(self), "total": self.total}


def estimate_training(
    base: "Base",
    adapter: "Adapter",
    task: "Task",
    settings: "Training",
    num_codes: int,
    *,
    longest: int = 0,
    baseline_bytes: int | None = None,
) -> MemoryEstimate:
    """Return the peak memory of training with these settings; `longest`: of all windows, in sub-words, if known."""
    import torch
    from torch import nn

    from clinfed.bases import meta_encoder

    encoder = meta_encoder(base)
    head: nn.Module
    with torch.device("meta"):
        if task.head_of_base:
            head = nn.Linear(encoder.config.hidden_size, encoder.config.vocab_size).requires_grad_(False)
        else:
            head = task.head(encoder.config.hidden_size, num_codes)
    tokens = min(longest or settings.window, settings.window)
    windows = max(1, settings.batch_tokens // tokens) if settings.batch_tokens else settings.batch_notes
    return estimate_memory(
        adapter.attach(encoder.requires_grad_(False)),
        head,
        windows=windows,
        tokens=tokens,
        bf16=settings.bf16,
        four_bit=adapter.quantization() is not None,
        device=settings.device,
        baseline_bytes=baseline_bytes,
    )


def estimate_memory(
    encoder: "nn.Module",
    head: "nn.Module",
    *,
    windows: int,
    tokens: int,
    bf16: bool = False,
    four_bit: bool = False,
    device: str = "cpu",
    baseline_bytes: int | None = None,
) -> MemoryEstimate:
    """Return the peak memory of training on batches of windows x tokens sub-words, from shapes alone.

    Two steps run on tensors without numbers, and every block that they allocate goes through a model of the heap. The
    encoder (adapter attached) and head are on the meta device and used up by this. Upper bounds by choice: every
    sub-word is evaluated, every word is in a mention. A loop that keeps its last loss alive takes more than this.
    Baseline: what this process holds now, so ask before the base is loaded.
    """
    from clinfed.probes.four_bit import replace_four_bit
    from clinfed.probes.shapes import training_events

    baseline = resident_bytes() if baseline_bytes is None else baseline_bytes
    trainable = sum(p.numel() for module in (encoder, head) for p in module.parameters() if p.requires_grad)
    packed = replace_four_bit(encoder) if four_bit else 0
    weights = [t.nbytes for module in (encoder, head) for t in (*module.parameters(), *module.buffers())]
    events = training_events(encoder, head, windows=windows, tokens=tokens, bf16=bf16)
    held, moments = sum(weights) + packed, 2 * FLOAT_BYTES * trainable
    step = max(0, _tensor_peak(events) - moments)
    if device != "cpu":
        return MemoryEstimate(0, held, 0, moments, step, 0)
    holes = max(0, _heap_peak([*weights, packed], events) - held - moments - step)
    extra = FIRST_USE_BYTES + (BF16_BYTES_PER_SHAPE if bf16 else 0)
    return MemoryEstimate(baseline, held, FLOAT_BYTES * trainable, moments, step, holes + extra)


def _tensor_peak(events: "list[Event]") -> int:
    now = peak = 0
    for event in events:
        now += event.size
        peak = max(peak, now)
    return peak


def _heap_peak(weights: list[int], events: "list[Event]") -> int:
    heap = Heap()
    for number, size in enumerate(weights):
        heap.allocate(("weight", number), size)
    for event in events:
        if event.size > 0:
            heap.allocate(event.block, event.size)
        elif event.size < 0:
            heap.free(event.block)
        else:
            heap.end_step()
    return heap.peak
