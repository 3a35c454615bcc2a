"""A training step on tensors that have shapes and no numbers: which blocks it allocates and frees, in order."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from torch import Tensor


class Event(NamedTuple):
    """One block comes (size > 0) or goes (size < 0); size 0 ends a step."""

    block: int
    size: int


def training_events(
    encoder: nn.Module, head: nn.Module, *, windows: int, tokens: int, bf16: bool, steps: int = 2
) -> list[Event]:
    """Return the blocks of the first training steps, as clinfed.training.loop takes them, weights not among them.

    Every sub-word is evaluated as a word; a head of several layers (jerl_factored) is taken as if every word were in a
    mention. The modules may be on the meta device; afterwards they hold tensors without numbers.
    """
    with FakeTensorMode():
        _materialise(encoder)
        _materialise(head)
        encoder.train()
        trainable = [p for module in (encoder, head) for p in module.parameters() if p.requires_grad]
        moments: list[tuple[Tensor, Tensor]] = []
        with _recorded((encoder, head)) as events:
            for _ in range(steps):
                _loss(encoder, head, windows, tokens, bf16).backward()
                moments = moments or [(torch.zeros_like(p), torch.zeros_like(p)) for p in trainable]
                _adamw(trainable, moments)
                events.append(Event(0, 0))
        return list(events)  # what dies with this function is no part of the training


def _loss(encoder: nn.Module, head: nn.Module, windows: int, tokens: int, bf16: bool) -> "Tensor":
    """Return the sum of a cross-entropy of each of the head's layers: what the tasks' losses allocate."""
    input_ids = torch.zeros(windows, tokens, dtype=torch.int64)
    tags = torch.zeros(windows * tokens, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        hidden = encoder(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state
        words = functional.dropout(hidden.flatten(0, 1).clone(), 0.1)  # picking the evaluated words copies them
        layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
        return sum((functional.cross_entropy(layer(words).float(), tags) for layer in layers), start=torch.zeros(()))


@torch.no_grad()
def _adamw(trainable: list[nn.Parameter], moments: "list[tuple[Tensor, Tensor]]") -> None:
    """Allocate what a step of AdamW allocates: a denominator for each tensor, then no gradients."""
    for parameter, (mean, square) in zip(trainable, moments, strict=True):
        parameter.addcdiv_(mean, (square.sqrt() / 1.0).add_(1e-8))
        parameter.grad = None


@contextmanager
def _recorded(modules: tuple[nn.Module, ...]) -> Iterator[list[Event]]:
    recorder = _Recorder(modules)
    with recorder:
        yield recorder.events


class _Recorder(TorchDispatchMode):
    """Notes each storage that an operation makes, and its end."""

    def __init__(self, modules: tuple[nn.Module, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.events: list[Event] = []
        self._made = 0
        # Views of weights are no new memory.
        self._alive = {t.untyped_storage()._cdata for m in modules for t in (*m.parameters(), *m.buffers())}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address in self._alive or size == 0:
            return
        self._alive.add(address)
        self._made += 1
        self.events.append(Event(self._made, size))
        weakref.finalize(storage, self._end, address, self._made, size)

    def _end(self, address: int, block: int, size: int) -> None:
        self._alive.discard(address)
        self.events.append(Event(block, -size))


def _materialise(module: nn.Module) -> None:
    """Move every tensor to the CPU, as far as the mode of tensors without numbers around this call can tell."""
    for part in module.modules():
        for name, old in list(part._parameters.items()):
            if old is not None:
                new = torch.empty(old.shape, dtype=old.dtype)
                part._parameters[name] = nn.Parameter(new, requires_grad=old.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
