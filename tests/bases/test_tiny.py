"""The embedded base, as it is installed."""

import pytest
from safetensors import safe_open

from clinfed.bases import Base, load_encoder, load_tokenizer, meta_encoder, target_modules
from clinfed.errors import UserError


def test_the_embedded_base_is_small_and_stored_in_float16() -> None:
    path = Base().folder() / "model.safetensors"
    assert path.stat().st_size <= 12_000_000
    with safe_open(path, "np") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118 - no mapping


def test_the_embedded_encoder_and_its_tokenizer_fit() -> None:
    encoder, tokenizer = load_encoder(Base()), load_tokenizer(Base())
    assert len(tokenizer) == encoder.config.vocab_size <= 9_000
    assert tokenizer("infart", return_offsets_mapping=True)["offset_mapping"][1][0] == 0
    assert len(target_modules(encoder)) == 4 * encoder.config.num_hidden_layers


def test_it_is_counted_from_its_own_sizes_without_weights() -> None:
    loaded = sum(parameter.numel() for parameter in load_encoder(Base()).parameters())
    assert sum(parameter.numel() for parameter in meta_encoder(Base()).parameters()) == loaded


def test_where_it_is_not_installed_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"clinfed_tiny is missing or .*pip install \."):
        load_encoder(Base())


def test_a_visible_words_vector_says_which_word_it_is() -> None:
    """Taggers read visible tokens, which a base pretrained on hidden ones alone forgets."""
    import torch
    from transformers import AutoModelForMaskedLM

    folder = Base().folder()
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = load_tokenizer(Base())("Pacient amb hipertensió arterial i diabetis mellitus tipus 2", return_tensors="pt")
    with torch.no_grad():
        found = model(**tokens).logits.argmax(-1)[0, 1:-1]
    assert (found == tokens["input_ids"][0, 1:-1]).float().mean() > 0.8


def test_its_attention_is_not_one_hot() -> None:
    """Where attention is saturated its gradients vanish, and neither LoRA nor full fine-tuning learns much."""
    import torch

    encoder = load_encoder(Base()).eval()
    text = "Pacient amb hipertensió arterial i diabetis mellitus tipus 2. Refiere dolor torácico desde hace 3 días."
    with torch.no_grad():
        layers = encoder(**load_tokenizer(Base())(text, return_tensors="pt"), output_attentions=True).attentions
    largest = torch.cat([layer.max(-1).values.flatten() for layer in layers])
    assert (
        largest > 0.99
    ).float().mean() < 0.05  # of little weight decay came 0.40 after 2,700 steps, 0.63 after 10,500
