"""Windows: every word is evaluated exactly once, with context, whatever the tokenizer."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clinfed.corpus.note import Note
from clinfed.corpus.synthetic import generate
from clinfed.tasks.tagging.bio import spans_of, tags_of, words_of
from clinfed.tasks.tagging.windows import subwords_of, windows_of
from clinfed.training.tokenizer import train_tokenizer


def byte_level(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=specials))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", cls_token="<s>", sep_token="</s>", add_prefix_space=True
    )


def unigram(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=400, special_tokens=specials, unk_token="<unk>", show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", cls_token="<s>", sep_token="</s>")


@pytest.fixture(scope="module")
def notes() -> list[Note]:
    return generate(seed=3, patients=40)[:1000]


@pytest.mark.parametrize("kind", ["wordpiece", "byte level", "unigram"])
def test_spans_survive_tags_and_windows(kind: str, notes: list[Note]) -> None:
    texts = [note.text for note in notes]
    makers = {"wordpiece": lambda t: train_tokenizer(t, 600), "byte level": byte_level, "unigram": unigram}
    tokenizer = makers[kind](texts)
    codes = sorted({span.code for note in notes for span in note.spans})
    index = {code: i for i, code in enumerate(codes)}
    assert len(notes) >= 1000
    for note in notes:
        words = words_of(note.text)
        tags, held, _ = tags_of(words, note.spans, index)
        windows = windows_of(subwords_of(tokenizer, note.text, words), cls_id=1, sep_id=2, size=48, stride=12)
        rebuilt = [-1] * len(words)
        for window in windows:
            assert len(window.input_ids) <= 48
            for word in window.words:
                assert rebuilt[word] == -1  # evaluated once
                rebuilt[word] = tags[word]
        assert set(held) <= set(spans_of(words, rebuilt, codes))


def test_decomposed_words_have_the_subwords_of_composed_ones() -> None:
    tokenizer = byte_level(["infecció àcida"])  # composes nothing itself, unlike the one that clinfed trains
    composed = "infecció àcida"
    decomposed = unicodedata.normalize("NFD", composed)
    pieces = subwords_of(tokenizer, decomposed, words_of(decomposed))
    assert pieces == subwords_of(tokenizer, composed, words_of(composed))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(6, 20), st.integers(0, 3))
def test_windows_evaluate_each_word_once_and_point_at_its_first_subword(
    lengths: list[int], size: int, stride: int
) -> None:
    pieces = [[100 * word + i for i in range(length)] for word, length in enumerate(lengths)]
    windows = windows_of(pieces, cls_id=-1, sep_id=-2, size=size, stride=stride)
    evaluated = [word for window in windows for word in window.words]
    assert evaluated == list(range(len(lengths)))
    for window in windows:
        assert len(window.input_ids) <= size
        assert [window.input_ids[p] for p in window.positions] == [100 * word for word in window.words]


def test_a_mention_on_a_window_edge_has_context_on_both_sides() -> None:
    pieces = [[word] for word in range(20)]
    windows = windows_of(pieces, cls_id=-1, sep_id=-2, size=12, stride=4)
    # Room for 10: words 0-9, then 6-15, then 12-19; the shared words 6-9 and 12-15 are halved.
    assert [window.words for window in windows] == [list(range(8)), list(range(8, 14)), list(range(14, 20))]
