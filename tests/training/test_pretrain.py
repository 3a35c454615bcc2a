"""Pretraining, small: the loop learns, the held-out documents stay out, the saved base loads as any other."""

from pathlib import Path

import pytest
import torch

from clinfed.bases import Base, load_encoder, load_tokenizer
from clinfed.errors import UserError
from clinfed.training.masking import held_out_split, mask_tokens, pack
from clinfed.training.pretrain import PretrainSettings, learning_rate_factor, load, pretrain_base
from clinfed.training.tokenizer import train_tokenizer

TEXTS = [f"el pacient {i} te hipertensio arterial i diabetis mellitus tipus 2 amb bon control" for i in range(200)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("base")
    settings = PretrainSettings(
        vocab_size=200, hidden_size=64, layers=2, heads=2, intermediate_size=64, tokens_per_row=16, steps=80, threads=1
    )
    return folder, pretrain_base({"notes": TEXTS}, settings, folder)


def test_held_out_perplexity_falls_far_below_guessing(made: tuple[Path, dict[str, object]]) -> None:
    assert made[1]["held_out_perplexity_all"] < 20  # about 60 word forms: guessing gives about that


def test_the_saved_base_is_float16_and_loads_as_any_folder(made: tuple[Path, dict[str, object]]) -> None:
    from safetensors import safe_open

    with safe_open(made[0] / "model.safetensors", "np") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"float16"}  # noqa: SIM118
    base = Base(name="made", path=str(made[0]))
    encoder = load_encoder(base)
    ids = load_tokenizer(base)("diabetis", return_tensors="pt")
    assert encoder(**ids).last_hidden_state.shape[-1] == 64


def test_a_base_is_trained_further_from_its_own_weights(made: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    settings = PretrainSettings(tokens_per_row=16, steps=1, learning_rate=0.0, matrix_learning_rate=0.0, threads=1)
    facts = pretrain_base({"notes": TEXTS}, settings, tmp_path, begin=made[0])
    assert facts["begun_with"] == made[1]
    assert facts["held_out_perplexity_all"] == made[1]["held_out_perplexity_all"]  # nothing was trained, nothing lost


def test_what_is_saved_lies_between_the_base_begun_with_and_where_training_ended(
    made: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    def weights(begun_share: float) -> torch.Tensor:
        folder = tmp_path / str(begun_share)
        settings = PretrainSettings(tokens_per_row=16, steps=3, begun_share=begun_share, threads=1)
        pretrain_base({"notes": TEXTS}, settings, folder, begin=made[0])
        return load(folder)[1].decoder.weight

    begun = load(made[0])[1].decoder.weight
    torch.testing.assert_close(weights(0.25), 0.25 * begun + 0.75 * weights(0.0), atol=2e-3, rtol=0)
    assert not torch.allclose(weights(0.0), begun, atol=5e-3)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (TEXTS[:1], "the training text fills 0 rows of 16 sub-words, expected at least rows_per_step=32"),
        (["pacient", *TEXTS[1:50]], "source notes: its held-out documents, one of 50, fill no row of 16 sub-words"),
    ],
)
def test_too_little_text_is_refused_before_anything_is_trained(texts: list[str], message: str, tmp_path: Path) -> None:
    settings = PretrainSettings(vocab_size=200, hidden_size=64, layers=1, heads=2, tokens_per_row=16, threads=1)
    with pytest.raises(UserError, match=message):
        pretrain_base({"notes": texts}, settings, tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_document_of_fifty_is_held_out() -> None:
    train, held = held_out_split([str(i) for i in range(100)])
    assert held == ["0", "50"]
    assert not set(train) & set(held)


def test_rows_are_full_and_start_alike() -> None:
    tokenizer = train_tokenizer(TEXTS, 200)
    rows = pack(TEXTS, tokenizer, 16)
    assert rows.shape[1] == 16
    assert (rows[:, 0] == tokenizer.cls_token_id).all()
    assert (rows != tokenizer.pad_token_id).all()


def test_special_tokens_are_never_hidden_and_a_tenth_of_the_chosen_stays_visible() -> None:
    tokenizer = train_tokenizer(TEXTS, 200)
    rows = torch.arange(len(tokenizer)).repeat(400, 1)
    hidden, chosen = mask_tokens(rows, 0.3, tokenizer, torch.Generator().manual_seed(0))
    assert not chosen[rows < 5].any()
    assert torch.equal(hidden[~chosen], rows[~chosen])
    shares = [(hidden == tokenizer.mask_token_id)[chosen], (hidden == rows)[chosen]]
    assert [round(float(share.float().mean()), 1) for share in shares] == [0.8, 0.1]


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    settings = PretrainSettings(steps=100, warmup=0.1)
    assert learning_rate_factor(4, settings) == 0.5
    assert learning_rate_factor(55, settings) == 0.5  # (100 - 55) / 90
    assert learning_rate_factor(100, settings) == 0.0


def test_accents_and_capitals_share_pieces() -> None:
    tokenizer = train_tokenizer(TEXTS, 200)
    assert tokenizer.tokenize("HIPERTENSIÓ") == tokenizer.tokenize("hipertensio")
