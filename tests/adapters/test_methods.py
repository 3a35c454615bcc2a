"""Every method on a small base of every family, with real optimiser steps."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from clinfed.adapters.base import Adapter
from clinfed.adapters.dora import Dora
from clinfed.adapters.full import Full
from clinfed.adapters.ia3 import Ia3
from clinfed.adapters.loha import Loha
from clinfed.adapters.lokr import Lokr, num_parameters, saturated
from clinfed.adapters.lora import Lora
from clinfed.adapters.qlora import Qlora
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import Tagger, read_shapes, read_state, write_state
from clinfed.bases import Base, base_sha256, load_encoder
from clinfed.errors import AdviceWarning, UserError

MakeBase = Callable[..., Base]

ADAPTERS = [Lora(r=4), Qlora(r=4), Dora(r=4), Loha(r=4), Lokr(r=2), Ia3()]


def name_of(method: Adapter) -> str:
    return type(method).__name__.lower()


def tagger_of(base: Base, adapter: Adapter, seed: int = 0) -> Tagger:
    encoder = load_encoder(base, quantization=adapter.quantization())
    torch.manual_seed(seed)
    return SimpleNamespace(encoder=adapter.attach(encoder), head=nn.Linear(64, 5))


def logits(tagger: Tagger, *, training: bool = False) -> torch.Tensor:
    tagger.encoder.train(training)
    input_ids = torch.arange(10, 24).reshape(2, 7)
    hidden = tagger.encoder(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state
    return tagger.head(hidden)


def take_steps(tagger: Tagger, steps: int = 3) -> list[float]:
    trainable = [p for module in (tagger.encoder, tagger.head) for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(logits(tagger, training=True).flatten(0, 1), torch.arange(14) % 5)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("adapter", ADAPTERS, ids=name_of)
def test_training_and_inference_leave_the_base_bytes_unchanged(
    adapter: Adapter, family: str, small_base: MakeBase
) -> None:
    encoder = load_encoder(small_base(family), quantization=adapter.quantization())
    before = base_sha256(encoder)
    tagger = tagger_of(small_base(family), adapter)
    start = read_state(tagger)
    losses = take_steps(tagger)
    with torch.no_grad():
        logits(tagger)  # bitsandbytes repacks weights at the first inference unless told not to
    losses += take_steps(tagger, 5)
    assert base_sha256(tagger.encoder) == before
    assert losses[-1] < losses[0]
    moved = [name for name, array in read_state(tagger).items() if not np.array_equal(array, start[name])]
    assert moved == list(start)  # after three steps B has left 0, so A moves too


def test_the_base_hash_sees_a_changed_base(small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(), Lora(r=4))
    before = base_sha256(tagger.encoder)
    frozen = next(p for p in tagger.encoder.parameters() if not p.requires_grad)
    frozen.data.view(-1)[0] += 1
    assert base_sha256(tagger.encoder) != before


@pytest.mark.parametrize("adapter", [each for each in ADAPTERS if each.quantization() is None], ids=name_of)
def test_round_zero_equals_the_base(adapter: Adapter, family: str, small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(family), adapter)
    plain = SimpleNamespace(encoder=load_encoder(small_base(family)), head=tagger.head)
    with torch.no_grad():
        assert torch.allclose(logits(tagger), logits(plain), atol=1e-6)


@pytest.mark.parametrize("adapter", [Lora(r=4), Lora(r=4, dropout=0.1), Dora(r=4), Qlora(r=4)], ids=str)
def test_inputs_as_they_come_are_bit_for_bit_those_that_peft_widens(adapter: Adapter, small_base: MakeBase) -> None:
    tagger = tagger_of(small_base("bert"), adapter)
    trainable = [p for module in (tagger.encoder, tagger.head) for p in module.parameters() if p.requires_grad]
    layers = [layer for layer in tagger.encoder.modules() if isinstance(layer, BaseTunerLayer)]
    assert layers
    with torch.no_grad():
        for parameter in trainable:
            parameter.add_(0.01)  # else B is 0

    def gradients() -> list[torch.Tensor | None]:
        for parameter in trainable:
            parameter.grad = None
        torch.manual_seed(0)  # of dropout
        with torch.autocast("cpu", torch.bfloat16):
            logits(tagger, training=True).square().mean().backward()
        return [parameter.grad for parameter in trainable]

    ours = gradients()
    for layer in layers:
        layer.cast_input_dtype_enabled = True
    for one, other in zip(ours, gradients(), strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_lora_has_two_thin_matrices_a_layer(small_base: MakeBase) -> None:
    state = read_state(tagger_of(small_base("bert"), Lora(r=4)))
    # Per layer 4 squares of 64 and two of 64 x 128: r (in + out) = 4 (4 * 128 + 2 * 192) = 3,584. Head: 65 * 5.
    assert state.num_elements == 2 * 3_584 + 325
    assert state["encoder.encoder.layer.0.intermediate.dense.lora_A.weight"].shape == (4, 64)
    assert state["encoder.encoder.layer.0.intermediate.dense.lora_B.weight"].shape == (128, 4)


def test_qlora_has_the_tensors_of_lora(family: str, small_base: MakeBase) -> None:
    lora, qlora = (read_state(tagger_of(small_base(family), method)) for method in (Lora(r=4), Qlora(r=4)))
    assert lora.shapes == qlora.shapes


def test_qlora_stores_encoder_layers_in_four_bits_and_nothing_else(family: str, small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(family), Qlora(r=4))
    packed = {name for name, p in tagger.encoder.named_parameters() if p.dtype == torch.uint8}
    assert len(packed) == sum("lora_A" in name for name, _ in tagger.encoder.named_parameters())
    assert all(".base_layer.weight" in name for name in packed)
    assert tagger.head.weight.dtype == torch.float32


def test_full_learns_every_encoder_parameter(family: str, small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(family), Full())
    state = read_state(tagger)
    everything = sum(p.numel() for p in load_encoder(small_base(family)).parameters())
    assert state.num_elements == everything + 325
    assert state.shapes.keys() == {f"encoder.{n}" for n, _ in tagger.encoder.named_parameters()} | {
        "head.weight",
        "head.bias",
    }


def test_lokr_warns_of_a_saturated_rank_and_names_the_form_that_matches_lora(small_base: MakeBase) -> None:
    states = []
    for rank in (32, 256):
        with pytest.warns(
            AdviceWarning, match=rf"adapter.r={rank}: the rank is saturated.*adapter.decompose_factor=\d+"
        ):
            states.append(read_state(tagger_of(small_base("bert"), Lokr(r=rank))))
    assert states[0].shapes == states[1].shapes


@pytest.mark.parametrize("rank", [1, 2, 4, 64])
@pytest.mark.parametrize("factor", [-1, 2, 4])
def test_lokr_is_counted_as_peft_builds_it(rank: int, factor: int, small_base: MakeBase, recwarn: object) -> None:
    shapes = [(64, 64)] * 8 + [(64, 128), (128, 64)] * 2  # of the two layers
    state = read_state(tagger_of(small_base("bert"), Lokr(r=rank, decompose_factor=factor)))
    assert num_parameters(shapes, rank, factor) == state.num_elements - 325  # the head's
    assert saturated(shapes, rank, factor) == (not any("w2_a" in name for name in state))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=name_of)
def test_the_head_is_never_pefts(adapter: Adapter, small_base: MakeBase) -> None:
    # A head among modules_to_save raises beside target_modules="all-linear" (peft #1485), is quantised with the base
    # (peft #1720), and lets no second adapter with a head be active.
    tagger = tagger_of(small_base("bert"), adapter)
    (config,) = tagger.encoder.peft_config.values()
    assert not config.modules_to_save
    assert type(tagger.head) is nn.Linear
    assert all(p.requires_grad and p.dtype == torch.float32 for p in tagger.head.parameters())


def test_two_adapters_with_heads_of_their_own_take_turns(small_base: MakeBase) -> None:
    tagger = tagger_of(small_base("bert"), Lora(r=4))
    take_steps(tagger)
    first = read_state(tagger)
    before = logits(tagger)
    take_steps(tagger)
    second = read_state(tagger)
    assert not torch.equal(logits(tagger), before)
    for state in (first, second, first):
        write_state(tagger, state)
    assert torch.equal(logits(tagger), before)


def test_the_first_adapter_follows_the_callers_seed(small_base: MakeBase) -> None:
    first, second, other = (read_state(tagger_of(small_base(), Lora(r=4), seed)) for seed in (1, 1, 2))
    assert first.sha256() == second.sha256() != other.sha256()


def test_named_layers_are_taken_as_given(small_base: MakeBase) -> None:
    state = read_state(tagger_of(small_base("bert"), Lora(r=4, target_modules=["query"])))
    assert len(state) == 2 * 2 + 2  # A and B in two layers, and the head


def test_rank_zero_is_refused(small_base: MakeBase) -> None:
    with pytest.raises(UserError, match=r"adapter\.r=0"):
        tagger_of(small_base(), Lora(r=0))


@pytest.mark.parametrize("adapter", [*ADAPTERS, Full()], ids=name_of)
def test_a_written_state_is_read_back_and_gives_the_same_logits(adapter: Adapter, small_base: MakeBase) -> None:
    trained, fresh = tagger_of(small_base(), adapter), tagger_of(small_base(), adapter, seed=9)
    take_steps(trained)
    state = read_state(trained)
    pointers = [p.data_ptr() for p in fresh.encoder.parameters()]
    write_state(fresh, state)
    assert [p.data_ptr() for p in fresh.encoder.parameters()] == pointers  # in place
    assert read_state(fresh).sha256() == state.sha256()
    with torch.no_grad():
        assert torch.equal(logits(fresh), logits(trained))


@pytest.mark.parametrize("adapter", [*ADAPTERS, Full()], ids=name_of)
def test_the_shapes_are_those_of_the_state_without_its_numbers(adapter: Adapter, small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(), adapter)
    assert read_shapes(tagger) == read_state(tagger).shapes


def test_a_read_state_is_a_copy(small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(), Lora(r=4))
    state = read_state(tagger)
    before = state.sha256()
    take_steps(tagger)
    assert state.sha256() == before


def test_foreign_tensors_and_shapes_are_refused_before_anything_is_written(small_base: MakeBase) -> None:
    tagger = tagger_of(small_base(), Lora(r=4))
    before = read_state(tagger)
    with pytest.raises(ValueError, match="has 1 unknown"):
        write_state(tagger, AdapterState({**before.tensors, "encoder.extra": np.zeros(1, np.float32)}))
    with pytest.raises(ValueError, match=r"lacks 1 tensors \['head.bias'\]"):
        write_state(tagger, AdapterState({n: a for n, a in before.items() if n != "head.bias"}))
    changed = {name: array + 1 for name, array in before.items()} | {"head.weight": np.zeros((5, 63), np.float32)}
    with pytest.raises(ValueError, match=r"head.weight has shape \(5, 63\), expected \(5, 64\)"):
        write_state(tagger, AdapterState(changed))
    assert read_state(tagger).sha256() == before.sha256()
