"""Adapter folders: loaded by peft itself, free of local paths, closed to pickles."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModel

from clinfed.adapters.base import Adapter
from clinfed.adapters.card import Card
from clinfed.adapters.dora import Dora
from clinfed.adapters.folder import load_labels, load_state, load_untrained, save
from clinfed.adapters.full import Full
from clinfed.adapters.ia3 import Ia3
from clinfed.adapters.loha import Loha
from clinfed.adapters.lokr import Lokr
from clinfed.adapters.lora import Lora
from clinfed.adapters.weights import Tagger, read_state, trainable_parameters
from clinfed.bases import Base, load_encoder
from clinfed.errors import UserError

MakeBase = Callable[..., Base]
CODES = ["E11.9", "I10"]
CARD = Card(base="some/base", base_revision="0" * 40, method="lora", task="jerl")
INPUT = torch.arange(10, 24).reshape(2, 7)


@pytest.fixture
def base(small_base: MakeBase, tmp_path: Path) -> Base:
    """Return a base in a folder whose path nobody else should see."""
    folder = tmp_path / "private-place"
    load_encoder(small_base("bert")).save_pretrained(folder)
    return Base(name="saved", path=str(folder))


def trained(base: Base, adapter: Adapter) -> Tagger:
    """Return a tagger whose adapter is no longer 0."""
    torch.manual_seed(0)
    tagger = SimpleNamespace(encoder=adapter.attach(load_encoder(base)).eval(), head=nn.Linear(64, 5))
    with torch.no_grad():
        for _, parameter in trainable_parameters(tagger):
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return tagger


def output(encoder: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return encoder(input_ids=INPUT, attention_mask=torch.ones_like(INPUT)).last_hidden_state


# peft 0.21 asks transformers 5 by a deprecated name.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    "adapter", [Lora(r=4), Dora(r=4), Loha(r=4), Lokr(r=2), Ia3()], ids=lambda method: type(method).__name__.lower()
)
def test_peft_loads_the_folder_and_gives_the_same_output(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    tagger = trained(base, adapter)
    save(tmp_path / "adapter", tagger, codes=CODES, card=CARD)
    loaded = PeftModel.from_pretrained(
        AutoModel.from_pretrained(base.path, attn_implementation="eager"), tmp_path / "adapter"
    ).eval()
    assert torch.equal(output(loaded), output(tagger.encoder))
    assert not torch.equal(output(loaded), output(load_encoder(base)))
    assert "pooler" not in " ".join(name for name, _ in loaded.named_parameters() if "lora" in name)


def test_full_fine_tuning_is_a_model_folder(base: Base, tmp_path: Path) -> None:
    tagger = trained(base, Full())
    save(tmp_path / "adapter", tagger, codes=CODES, card=Card("some/base", "", "full", "jerl"))
    loaded = AutoModel.from_pretrained(tmp_path / "adapter", add_pooling_layer=False, attn_implementation="eager")
    assert torch.equal(output(loaded), output(tagger.encoder))


@pytest.mark.parametrize("adapter", [Lora(r=4), Full()], ids=["lora", "full"])
def test_state_and_labels_come_back_exactly(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    tagger = trained(base, adapter)
    save(tmp_path / "adapter", tagger, codes=CODES, card=CARD)
    assert load_state(tmp_path / "adapter").sha256() == read_state(tagger).sha256()
    assert load_labels(tmp_path / "adapter") == ("jerl", ("E11.9", "I10"))
    assert load_untrained(tmp_path / "adapter") == frozenset()


def test_the_label_map_names_the_codes_that_nobody_has_trained(base: Base, tmp_path: Path) -> None:
    save(tmp_path / "adapter", trained(base, Lora(r=4)), codes=CODES, card=CARD, untrained={1})
    assert '"untrained": [\n    "I10"\n  ]' in (tmp_path / "adapter" / "labels.json").read_text()
    assert load_untrained(tmp_path / "adapter") == {1}


@pytest.mark.parametrize("adapter", [Lora(r=4), Full()], ids=["lora", "full"])
def test_no_local_path_is_in_any_file(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    save(tmp_path / "adapter", trained(base, adapter), codes=CODES, card=CARD)
    files = sorted((tmp_path / "adapter").iterdir())
    assert len(files) == 6
    for path in files:
        content = path.read_bytes()
        assert b"private-place" not in content
        assert str(tmp_path).encode() not in content
    assert "some/base at revision" in (tmp_path / "adapter" / "README.md").read_text()


def test_two_saves_are_the_same_bytes(base: Base, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(tmp_path / name, trained(base, Lora(r=4)), codes=CODES, card=CARD)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("name", ["adapter_model.bin", "extra/state.pt", "x.PKL"])
def test_a_folder_with_a_pickle_is_refused(name: str, base: Base, tmp_path: Path) -> None:
    save(tmp_path / "adapter", trained(base, Lora(r=4)), codes=CODES, card=CARD)
    (tmp_path / "adapter" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "adapter" / name).write_bytes(b"")
    for load in (load_state, load_labels):
        with pytest.raises(UserError, match="only safetensors are loaded"):
            load(tmp_path / "adapter")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected adapter_model\.safetensors"):
        load_state(tmp_path)
    with pytest.raises(UserError, match=r"labels\.json: cannot be read"):
        load_labels(tmp_path)


def test_a_folder_whose_tensors_are_of_a_foreign_type_is_refused(base: Base, tmp_path: Path) -> None:
    save(tmp_path / "adapter", trained(base, Lora(r=4)), codes=CODES, card=CARD)
    # safetensors' reader for numpy knows no 4-bit floats.
    header = b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    content = len(header).to_bytes(8, "little") + header + b"\x00"
    (tmp_path / "adapter" / "head.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"head\.safetensors: cannot be read .*expected a whole safetensors file"):
        load_state(tmp_path / "adapter")


def test_the_card_counts_encoder_and_head_apart(base: Base, tmp_path: Path) -> None:
    tagger = trained(base, Lora(r=4))
    save(tmp_path / "adapter", tagger, codes=CODES, card=CARD)
    head = sum(int(np.prod(p.shape)) for n, p in trainable_parameters(tagger) if n.startswith("head."))
    assert head == 325  # 64 * 5 + 5
    assert "7,168 in the encoder, 325 in the head" in (tmp_path / "adapter" / "README.md").read_text()
