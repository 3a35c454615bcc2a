"""Note vectors: each note is read once, whatever its length, and never again once its vector is kept."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinfed.bases import Base
from clinfed.corpus.note import Note
from clinfed.training.embeddings import Embedder
from clinfed.training.settings import Training

NOTES = [Note(f"n{number}", "Pacient amb asma. " * (1 + 20 * number)) for number in range(4)]
SHORT = Training(window=16, stride=4, bf16=False)


@pytest.fixture
def embedder(world: Any, tmp_path: Path) -> Any:
    """Return a function that makes an embedder over a cache of this test."""
    return lambda **options: Embedder(
        Base("path", str(world.folder / "base")), **{"settings": SHORT, "pooling": "mean", **options}, cache=tmp_path
    )


def counting(embedder: Any) -> list[int]:
    """Count the real sub-words that the encoder is given."""
    seen: list[int] = []
    embedder.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(int(kwargs["attention_mask"].sum())), with_kwargs=True
    )
    return seen


def test_the_encoder_reads_each_note_once_and_not_again(embedder: Any) -> None:
    first = embedder()
    seen = counting(first)
    vectors = first.vectors(NOTES)
    windows, _ = first._windows(NOTES)
    assert sum(seen) == sum(len(ids) for ids in windows)
    assert (first.read, vectors.shape) == (4, (4, 64))
    again = embedder()
    assert np.array_equal(again.vectors(NOTES), vectors)
    assert again.read == 0
    assert "encoder" not in vars(again)  # not even loaded


def test_another_text_is_read_anew(embedder: Any) -> None:
    one = embedder()
    one.vectors(NOTES)
    one.vectors([*NOTES[:3], Note("n3", "Otra nota.")])
    assert one.read == 8


def test_a_vector_is_the_mean_over_the_sub_words_of_all_windows(embedder: Any) -> None:
    one = embedder()
    vectors = one.vectors(NOTES)
    windows, owners = one._windows(NOTES)
    mine = [ids for ids, owner in zip(windows, owners, strict=True) if owner == 3]
    assert len(mine) > 1
    with torch.inference_mode():
        hidden = [one.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0] for ids in mine]
    by_hand = torch.cat(hidden).mean(dim=0).numpy()
    assert np.abs(vectors[3] - by_hand).max() < 1e-4


def test_cls_takes_the_first_sub_word_alone(embedder: Any) -> None:
    one = embedder(pooling="cls")
    vectors = one.vectors(NOTES)
    ids = one.tokenizer(NOTES[3].text, max_length=16, truncation=True)["input_ids"]
    with torch.inference_mode():
        by_hand = one.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0, 0].numpy()
    assert np.abs(vectors[3] - by_hand).max() < 1e-4


def test_the_cache_is_for_its_owner_alone(world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    Embedder(Base("path", str(world.folder / "base")), SHORT, "mean", folder).vectors(NOTES)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not [path for path in folder.iterdir() if b"asma" in path.read_bytes()]
