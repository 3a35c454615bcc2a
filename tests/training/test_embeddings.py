"""Note vectors: a frozen encoder reads each note once, whatever its length, and never again once its vector is kept."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinfed.adapters.lora import Lora
from clinfed.adapters.none import NoAdapter
from clinfed.bases import Base, load_tokenizer
from clinfed.corpus.note import Note
from clinfed.tasks.document import Document
from clinfed.training.embeddings import Embedded, embedded, is_frozen
from clinfed.training.encoded import encode_notes
from clinfed.training.model import build
from clinfed.training.settings import Training

NOTES = [Note(f"n{number}", "Pacient amb asma. " * (1 + 20 * number)) for number in range(4)]
SHORT = Training(window=16, stride=4, bf16=False)
CODES = ("I10", "J45.909")


class Reader:
    """The base of the world with a document head, over a cache of this test. seen: sub-words that it was given."""

    def __init__(self, world: Any, folder: Path, pooling: str = "mean") -> None:
        self.base, self.folder, self.task = Base("path", str(world.folder / "base")), folder, Document(pooling=pooling)
        self.tokenizer, self.seen = load_tokenizer(self.base), 0
        self.tagger = build(self.base, NoAdapter(), self.task, len(CODES), seed=0)
        self.tagger.encoder.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, module: Any, arguments: Any, named: Any) -> None:
        self.seen += int(named["attention_mask"].sum())

    def read(self, notes: list[Note]) -> Embedded:
        cut = {"window": SHORT.window, "stride": SHORT.stride}
        encoded = encode_notes(self.task, notes, self.tokenizer, CODES, cache=self.folder / "encoded", **cut)
        cache = self.folder / "embeddings"
        return embedded(self.tagger, self.task, encoded, SHORT, pad_id=0, cache=cache, base="base")

    def hidden(self, ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            input_ids = torch.tensor([ids])
            return self.tagger.encoder(
                input_ids=input_ids, attention_mask=torch.ones_like(input_ids)
            ).last_hidden_state[0]


@pytest.fixture
def reader(world: Any, tmp_path: Path) -> Reader:
    return Reader(world, tmp_path)


def test_the_encoder_reads_each_note_once_and_not_again(reader: Reader) -> None:
    first = reader.read(NOTES)
    examples = reader.task.encode(NOTES, reader.tokenizer, CODES, window=16, stride=4)
    assert reader.seen == sum(len(row["input_ids"]) for row in examples.rows)
    assert (first.read, first.vectors.shape) == (4, (4, 64))
    again = reader.read(NOTES)
    assert np.array_equal(again.vectors, first.vectors)
    assert again.read == 0


def test_another_text_is_read_anew(reader: Reader) -> None:
    assert reader.read(NOTES).read == 4
    assert reader.read([*NOTES[:3], Note("n3", "Otra nota.")]).read == 4


def test_a_vector_is_the_mean_over_the_sub_words_of_all_windows(reader: Reader) -> None:
    row = reader.task.encode(NOTES, reader.tokenizer, CODES, window=16, stride=4).rows[3]
    ends = np.cumsum(row["windows"])
    windows = [row["input_ids"][end - length : end] for end, length in zip(ends, row["windows"], strict=True)]
    assert len(windows) > 1
    by_hand = torch.cat([reader.hidden(ids) for ids in windows]).mean(dim=0).numpy()
    assert np.abs(reader.read(NOTES).vectors[3] - by_hand).max() < 1e-4


def test_cls_takes_the_first_sub_word_alone(world: Any, tmp_path: Path) -> None:
    reader = Reader(world, tmp_path, pooling="cls")
    pieces = reader.tokenizer(NOTES[3].text, add_special_tokens=False)["input_ids"]
    ids = [reader.tokenizer.cls_token_id, *pieces[:14], reader.tokenizer.sep_token_id]  # the first window of 16
    assert np.abs(reader.read(NOTES).vectors[3] - reader.hidden(ids)[0].numpy()).max() < 1e-4


def test_the_head_gives_the_same_from_a_kept_vector_as_from_the_windows(reader: Reader) -> None:
    kept = reader.read(NOTES)
    rows = reader.task.encode(
        sorted(NOTES, key=lambda note: note.id), reader.tokenizer, CODES, window=16, stride=4
    ).rows
    with torch.inference_mode():
        ours, theirs = (
            reader.task.outputs(reader.tagger, reader.task.collate(each, [3, 0], 0)) for each in (kept.rows, rows)
        )
    assert np.abs(ours - theirs).max() < 1e-5


def test_an_encoder_with_an_adapter_is_not_frozen(reader: Reader) -> None:
    assert is_frozen(reader.tagger)
    assert not is_frozen(build(reader.base, Lora(r=1), reader.task, len(CODES), seed=0))


def test_the_cache_is_for_its_owner_alone(reader: Reader) -> None:
    reader.read(NOTES)
    folder = reader.folder / "embeddings"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not [path for path in folder.iterdir() if b"asma" in path.read_bytes()]
