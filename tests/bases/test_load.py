"""Loading bases of every family from files, in float32 and in 4 bits."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clinfed.bases import Base, base_sha256, fingerprint, load_encoder, load_tokenizer, meta_encoder
from clinfed.errors import UserError

MakeBase = Callable[..., Base]


def saved(base: Base, folder: Path, dtype: torch.dtype = torch.float32) -> Base:
    """Return the same base, now in a folder with files."""
    load_encoder(base).to(dtype).save_pretrained(folder)
    return Base(name="saved", path=str(folder))


def test_every_family_loads_without_pooler_and_frozen(family: str, small_base: MakeBase, tmp_path: Path) -> None:
    encoder = load_encoder(saved(small_base(family), tmp_path))
    assert not [name for name, _ in encoder.named_modules() if "pooler" in name]
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training


def test_float16_files_become_float32_numbers(family: str, small_base: MakeBase, tmp_path: Path) -> None:
    encoder = load_encoder(saved(small_base(family), tmp_path, torch.float16))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_random_weights_are_float32_even_where_the_files_are_float16(small_base: MakeBase, tmp_path: Path) -> None:
    base = replace(saved(small_base(), tmp_path, torch.float16), random_init=True)
    for encoder in (load_encoder(base), meta_encoder(base)):
        assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_what_is_loaded_is_what_was_saved(family: str, small_base: MakeBase, tmp_path: Path) -> None:
    base = small_base(family)
    assert base_sha256(load_encoder(saved(base, tmp_path))) == base_sha256(load_encoder(base))


def test_random_weights_follow_their_own_seed_and_leave_the_callers_generator(small_base: MakeBase) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second = load_encoder(small_base()), load_encoder(small_base())
    assert torch.equal(torch.rand(2), expected)
    assert base_sha256(first) == base_sha256(second)
    other = Base(config=small_base().config, random_init=True, random_seed=1)
    assert base_sha256(load_encoder(other)) != base_sha256(first)
    assert fingerprint(other) != fingerprint(small_base())


def test_pickled_weights_are_refused(small_base: MakeBase, tmp_path: Path) -> None:
    base = saved(small_base(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors .* never loaded"):
        load_encoder(base)


def test_a_base_whose_files_are_quantised_already_is_refused(small_base: MakeBase, tmp_path: Path) -> None:
    base = saved(small_base("bert"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": quantised}))
    with pytest.raises(UserError, match=r"quantization_config, expected weights in floating point; give the original"):
        load_encoder(base)


def test_absent_tensors_are_refused_and_not_drawn_at_random(small_base: MakeBase, tmp_path: Path) -> None:
    base = saved(small_base("bert"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    # A BERT layer has 16 tensors: 6 linear layers and 2 norms, each with weight and bias.
    with pytest.raises(UserError, match="16 tensors of the encoder are not in its safetensors"):
        load_encoder(base)


def test_files_that_contradict_the_config_are_refused(small_base: MakeBase, tmp_path: Path) -> None:
    base = replace(saved(small_base("bert"), tmp_path), config={**small_base("bert").config, "vocab_size": 301})
    with pytest.raises(UserError, match=r"vocab_size=300, base\.config says 301"):
        load_encoder(base)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json there"):
        load_encoder(Base(name="path", path=str(tmp_path)))


def test_a_hub_id_needs_a_full_commit() -> None:
    with pytest.raises(UserError, match="expected the full 40-digit commit"):
        load_encoder(Base(name="path", path="some/model", revision="main"))


def test_an_absent_hub_model_says_what_to_do_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"run `clinfed bases fetch some/absent .*base\.path=/that/folder") as raised:
        load_encoder(Base(name="path", path="some/absent", revision="0" * 40))
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_tokenizer_says_so(small_base: MakeBase, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokenizer"):
        load_tokenizer(saved(small_base(), tmp_path))


def test_counting_a_hub_base_never_asks_the_hub() -> None:
    with pytest.raises(UserError, match="counting never asks the hub"):
        meta_encoder(Base(name="path", path="some/model", revision="0" * 40))


def test_unknown_architectures_are_named() -> None:
    with pytest.raises(UserError, match="model_type is 'nope'"):
        meta_encoder(Base(config={"model_type": "nope"}))


def test_the_meta_encoder_has_the_same_shapes_and_no_numbers(family: str, small_base: MakeBase) -> None:
    meta, real = meta_encoder(small_base(family)), load_encoder(small_base(family))
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}
    shapes = {name: parameter.shape for name, parameter in meta.named_parameters()}
    assert shapes == {name: parameter.shape for name, parameter in real.named_parameters()}


def test_the_fingerprint_sees_one_changed_weight_and_not_the_place(small_base: MakeBase, tmp_path: Path) -> None:
    here, there = saved(small_base(), tmp_path / "here"), saved(small_base(), tmp_path / "there")
    assert fingerprint(here) == fingerprint(there)
    weights = tmp_path / "there" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint(here) != fingerprint(there)


def test_local_paths_are_never_public(tmp_path: Path) -> None:
    assert Base(name="path", path=str(tmp_path)).public_name == "path"
    assert Base(name="mbert", path="some/model").public_name == "some/model"


def test_a_base_is_found_by_its_name_in_the_sides_own_folder(
    small_base: MakeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_BASES", str(tmp_path))
    there = saved(small_base(), tmp_path / "ours")
    named = Base(name="ours")
    assert named.folder() == tmp_path / "ours"
    assert fingerprint(named) == fingerprint(there) != fingerprint(Base())


def test_a_name_without_a_folder_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_BASES", str(tmp_path))
    with pytest.raises(UserError, match=rf"base.name=ours: no config.json in {tmp_path}/ours"):
        Base(name="ours").folder()


@pytest.mark.parametrize("name", ["../ours", "/ours", "..", ".hidden", "a/b", ""])
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_BASES", str(tmp_path / "bases"))
    for folder in (tmp_path / "ours", tmp_path, tmp_path / "bases", tmp_path / "bases" / ".hidden"):
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "config.json").touch()
    with pytest.raises(UserError, match="expected letters"):
        Base(name=name).folder()
