"""Counts without weights: the reference paper's table of trainable parameters, exactly."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import configs
from clinfed.adapters.base import Adapter
from clinfed.adapters.full import Full
from clinfed.adapters.lora import Lora
from clinfed.adapters.qlora import Qlora
from clinfed.bases import Base, load_encoder, meta_encoder
from clinfed.probes.parameters import count, count_parameters

CONFIGS = Path(__file__).parents[2] / "configs" / "base"
LABELS = 29_001  # O and B-/I- of 14,500 codes: the paper's cells hold for 28,999 to 29,018

BASES = {"mbert": 177_262_848, "distilmbert": 134_734_080, "roberta_bne": 124_052_736, "mdeberta": 278_218_752}
# 13,824 r numbers a layer of 768: four squares give r * 2 * 768 each, two of 768 x 3,072 give r * 3,840 each.
# With r = 256: 12 layers 42,467,328, 6 layers 21,233,664. Head: 769 * 29,001 = 22,301,769.
LORA = {"mbert": 64_769_097, "distilmbert": 43_535_433, "roberta_bne": 64_769_097, "mdeberta": 64_769_097}
FULL = {"mbert": 199_564_617, "distilmbert": 157_035_849, "roberta_bne": 146_354_505, "mdeberta": 300_520_521}


def named(name: str) -> Base:
    """Return a named base."""
    return configs.load([f"base={name}"]).base


def head() -> nn.Module:
    """Return the paper's head."""
    return nn.Linear(768, LABELS, device="meta")


@pytest.mark.parametrize("name", BASES)
def test_frozen_base_has_the_published_size_without_pooler(name: str) -> None:
    assert count_parameters(meta_encoder(named(name)), Lora(r=1), head()).frozen == BASES[name]


@pytest.mark.parametrize("name", LORA)
@pytest.mark.parametrize("adapter", [Lora(r=256), Qlora(r=256)], ids=["lora", "qlora"])
def test_lora_and_qlora_cells(name: str, adapter: Adapter) -> None:
    counts = count_parameters(meta_encoder(named(name)), adapter, head())
    assert counts.trainable == LORA[name]
    assert counts.head == 22_301_769


@pytest.mark.parametrize("name", FULL)
def test_full_cells(name: str) -> None:
    counts = count_parameters(meta_encoder(named(name)), Full(), head())
    assert (counts.trainable, counts.frozen) == (FULL[name], 0)


@pytest.mark.parametrize(("r", "trainable"), [(128, 43_535_433), (64, 32_918_601), (32, 27_610_185)])
def test_rank_sweep_cells(r: int, trainable: int) -> None:
    assert count_parameters(meta_encoder(named("mbert")), Qlora(r=r), head()).trainable == trainable


def test_everything_that_count_says_of_the_reference_setting() -> None:
    assert count_parameters(meta_encoder(named("mbert")), Lora(r=256), head()).as_dict() == {
        "adapter": 42_467_328,
        "head": 22_301_769,
        "frozen": 177_262_848,
        "trainable": 64_769_097,
        "wire_bytes": 259_076_388,
    }


def test_modernbert_counts_fused_and_gated_layers() -> None:
    # A layer, over r: Wqkv 768 + 2,304, Wo 768 + 768, Wi 768 + 2 * 1,152, Wo 1,152 + 768: 9,600 in all.
    assert count_parameters(meta_encoder(named("modernbert")), Lora(r=2), head()).adapter == 22 * 9_600 * 2


def test_four_bit_weights_count_as_the_numbers_they_stand_for(family: str, small_base: Callable[..., Base]) -> None:
    plain = count(Lora(r=4).attach(load_encoder(small_base(family))), nn.Linear(64, 5))
    quantised = load_encoder(small_base(family), quantization=Qlora().quantization())
    assert any(parameter.dtype == torch.uint8 for parameter in quantised.parameters())
    assert count(Qlora(r=4).attach(quantised), nn.Linear(64, 5)) == plain


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_base_file_opens_with_its_command_and_pins_its_revision(path: Path) -> None:
    assert path.read_text().startswith(f"# clinfed simulate base={path.stem}")
    base = named(path.stem)
    assert base.name == ("tiny" if base.random_init else path.stem)  # whose tokenizer random weights take
    assert not base.is_hub or len(base.revision) == 40
