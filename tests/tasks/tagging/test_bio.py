"""Spans to tags and back: what is kept, what is lost, and what a sequence of tags means."""

import unicodedata
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import IOB2, Entities

from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.codiesp import Codiesp
from clinfed.tasks.tagging.bio import flat_spans, representable, spans_of, tags_of, words_of

CODES = ("A00", "B01", "C02")
INDEX = {code: i for i, code in enumerate(CODES)}


def span(start: int, end: int, code: str = "A00") -> Span:
    return Span(((start, end),), code)


def test_two_adjacent_mentions_stay_two() -> None:
    words = words_of("HTA DM2")
    tags, held, unrepresentable = tags_of(words, [span(0, 3, "A00"), span(4, 7, "B01")], INDEX)
    assert tags == [1, 3]  # B-A00, B-B01: were the second an I, they would merge
    assert spans_of(words, tags, CODES) == held == [span(0, 3, "A00"), span(4, 7, "B01")]
    assert not unrepresentable


def test_i_without_b_begins_nothing() -> None:
    words = words_of("a b c")
    assert spans_of(words, [2, 2, 0], CODES) == []


def test_an_i_of_another_code_ends_the_span_and_begins_nothing() -> None:
    # B-A00 I-B01 I-B01 I-A00: only the first word is a span; of the loose rule all four words would be one.
    assert spans_of(words_of("a b c d"), [1, 4, 4, 2], CODES) == [span(0, 1, "A00")]


def test_spans_are_those_of_seqeval_in_strict_mode() -> None:
    names = ["O", "B-A00", "I-A00", "B-B01", "I-B01"]
    sequences = [list(each) for size in range(1, 6) for each in product(range(len(names)), repeat=size)]
    theirs = Entities([[names[tag] for tag in each] for each in sequences], IOB2).entities
    assert len(sequences) == 3905  # 5 + 25 + 125 + 625 + 3,125
    for tags, found in zip(sequences, theirs, strict=True):
        words = [(2 * i, 2 * i + 1) for i in range(len(tags))]
        assert spans_of(words, tags, CODES) == [span(2 * each.start, 2 * each.end - 1, each.tag) for each in found]


def test_the_longest_of_overlapping_spans_is_kept() -> None:
    kept, unrepresentable = flat_spans([span(0, 3), span(2, 9), span(8, 11)])
    assert kept == [span(2, 9)]  # the greatest number would be two: 0-3 and 8-11
    assert unrepresentable == Counter({"overlapping": 2})


def test_every_lost_span_has_its_reason() -> None:
    words = words_of("dolor lumbar cronica izq")
    spans = [
        Span(((0, 5), (13, 20)), "A00"),
        span(0, 12, "A00"),
        span(0, 12, "B01"),
        span(6, 12, "C02"),
        span(13, 18, "A00"),
        span(21, 24, "Z99"),
    ]
    _, held, unrepresentable = tags_of(words, spans, INDEX)
    assert held == [span(0, 12, "A00")]
    assert unrepresentable == {
        "discontinuous": 1,
        "second code of a mention": 1,
        "overlapping": 1,
        "limits inside a word": 1,
        "code outside the label map": 1,
    }


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(CODES)), max_size=12))
def test_nothing_is_lost_silently(triples: Any) -> None:
    text = "l'HTA i DM2, mal control; dolor (lumbar) crònic."
    spans = {span(start, min(start + size, len(text)), code) for start, size, code in triples}
    tags, held, unrepresentable = tags_of(words_of(text), spans, INDEX)
    assert len(held) + unrepresentable.total() == len(spans)
    assert set(held) <= set(spans_of(words_of(text), tags, CODES))


def test_words_of_split_at_punctuation_and_keep_letters_with_digits() -> None:
    assert [("DM2/HTA l'avi")[s:e] for s, e in words_of("DM2/HTA l'avi")] == ["DM2", "/", "HTA", "l", "'", "avi"]


def test_a_letter_and_its_combining_mark_are_one_word_with_their_neighbours() -> None:
    text = unicodedata.normalize("NFD", "infecció àcida.")
    assert [text[s:e] for s, e in words_of(text)] == [*text[:-1].split(" "), "."]


def test_flat_tags_hold_about_three_quarters_of_codiesp(codiesp_path: Path) -> None:
    notes = list(Codiesp(path=str(codiesp_path)).notes())
    by_split = {split: [n for n in notes if n.split == split] for split in ("train", "test")}
    recall = {}
    for split, chosen in by_split.items():
        codes = sorted({s.code for n in chosen for s in n.spans})  # each split's own codes: what tagging alone loses
        held, _ = representable(chosen, codes)
        recall[split] = sum(map(len, held.values())) / sum(len(set(n.spans)) for n in chosen)
    assert abs(recall["train"] - 0.762) < 0.002
    assert abs(recall["test"] - 0.766) < 0.002


def test_notes_without_words_are_empty() -> None:
    assert representable([Note("n", " \n")], CODES)[0] == {"n": frozenset()}
