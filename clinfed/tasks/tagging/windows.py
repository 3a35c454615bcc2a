"""Words to sub-words and windows: long notes are cut with overlap, and each word is evaluated in one window only."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clinfed.corpus.note import Fragment


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a note's sub-words, special tokens included.

    Shapes: input_ids (T,); positions and words have one entry for each word that this window evaluates: where its first
    sub-word stands in input_ids, and which word of the note it is.
    """

    input_ids: list[int]
    positions: list[int]
    words: list[int]


def subwords_of(tokenizer: Any, text: str, words: Sequence[Fragment]) -> list[list[int]]:
    """Return the sub-word ids of each word; a word that the tokenizer drops becomes its unknown token."""
    if not words:
        return []
    # Composed: vocabularies hold "ó" as one character, seldom as a letter and its mark.
    composed = [unicodedata.normalize("NFC", text[start:end]) for start, end in words]
    encoding = tokenizer(composed, is_split_into_words=True, add_special_tokens=False, verbose=False)
    pieces: list[list[int]] = [[] for _ in words]
    for token, word in zip(encoding["input_ids"], encoding.word_ids(), strict=True):
        pieces[word].append(token)
    return [ids or [tokenizer.unk_token_id] for ids in pieces]


def windows_of(pieces: Sequence[Sequence[int]], *, cls_id: int, sep_id: int, size: int, stride: int) -> list[Window]:
    """Return windows of at most `size` sub-words that together evaluate each word exactly once.

    Neighbouring windows share about `stride` sub-words, and the shared part is halved between them, so that a word is
    evaluated where it has context on both sides. A word longer than a window is cut; its first sub-word counts.
    """
    room = size - 2
    cut = [list(ids[:room]) for ids in pieces]
    spans = _word_ranges([len(ids) for ids in cut], room, stride)
    windows = []
    for i, (first, last) in enumerate(spans):
        owned_from = first if i == 0 else _middle(first, spans[i - 1][1])
        owned_to = last if i == len(spans) - 1 else _middle(spans[i + 1][0], last)
        windows.append(_window(cut, first, last, owned_from, owned_to, cls_id, sep_id))
    return windows


def _middle(first: int, last: int) -> int:
    return (first + last + 1) // 2


def _word_ranges(lengths: Sequence[int], room: int, stride: int) -> list[tuple[int, int]]:
    """Return half-open word ranges of at most `room` sub-words; neighbours share up to `stride` sub-words."""
    ranges: list[tuple[int, int]] = []
    first = 0
    while True:
        last, used = first, 0
        while last < len(lengths) and used + lengths[last] <= room:
            used += lengths[last]
            last += 1
        ranges.append((first, last))
        if last >= len(lengths):
            return ranges
        back, shared = last, 0
        while back - 1 > first and shared + lengths[back - 1] <= stride:
            back -= 1
            shared += lengths[back]
        first = back


def _window(
    pieces: Sequence[Sequence[int]], first: int, last: int, owned_from: int, owned_to: int, cls_id: int, sep_id: int
) -> Window:
    input_ids, positions, words = [cls_id], [], []
    for word in range(first, last):
        if owned_from <= word < owned_to:
            positions.append(len(input_ids))
            words.append(word)
        input_ids.extend(pieces[word])
    return Window([*input_ids, sep_id], positions, words)
