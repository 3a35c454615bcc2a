"""Strict evaluation equals the library that defines it, and plain set intersection."""

import random

import pytest
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.counts import Counts
from clinfed.evaluation.spans import EvaluatedNote, count_spans, evaluated

CODES = ("A00", "B01", "C02", "I10")


def random_tags(rng: random.Random, length: int) -> list[str]:
    """Return a well-formed IOB2 sequence; a mention may follow another at once, with the same code too."""
    tags: list[str] = []
    for _ in range(length):
        code = tags[-1][2:] if tags and tags[-1] != "O" and rng.random() < 0.4 else ""
        tags.append(f"I-{code}" if code else rng.choice(("O", *(f"B-{code}" for code in CODES))))
    return tags


def spans_of(tags: list[str]) -> frozenset[Span]:
    """Return the spans of a well-formed IOB2 sequence, one character a tag."""
    spans = []
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            end = start + 1
            while end < len(tags) and tags[end] == f"I-{tag[2:]}":
                end += 1
            spans.append(Span(((start, end),), tag[2:]))
    return frozenset(spans)


def noised(rng: random.Random, tags: list[str]) -> list[str]:
    """Return another well-formed sequence that shares much with the first."""
    cut = rng.randrange(len(tags))
    tail = random_tags(rng, len(tags) - cut)
    return tags[:cut] + tail


@pytest.mark.parametrize("seed", range(4))
def test_equals_seqeval_strict_on_tag_sequences(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(1000):
        gold = [random_tags(rng, rng.randrange(1, 12)) for _ in range(rng.randrange(1, 4))]
        predicted = [noised(rng, tags) for tags in gold]
        notes = [
            EvaluatedNote(str(i), "es", spans_of(true), spans_of(guess))
            for i, (true, guess) in enumerate(zip(gold, predicted, strict=True))
        ]
        if not any(note.gold or note.predicted for note in notes):
            continue  # seqeval cannot report on no mention at all
        counts = count_spans(notes, replicates=0)
        report = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
        micro = report["micro avg"]
        assert counts.micro().precision == pytest.approx(micro["precision"])
        assert counts.micro().recall == pytest.approx(micro["recall"])
        assert counts.micro().f1 == pytest.approx(micro["f1-score"])
        assert counts.micro().support == micro["support"]
        assert counts.macro("gold_or_predicted") == pytest.approx(report["macro avg"]["f1-score"])
        for code, each in counts.codes().items():
            assert each.f1 == pytest.approx(report[code]["f1-score"])


def random_spans(rng: random.Random) -> frozenset[Span]:
    """Return overlapping, nested, discontinuous and multi-code spans over ten characters."""
    spans = set()
    for _ in range(rng.randrange(6)):
        cuts = sorted(rng.sample(range(10), 4))
        fragments = ((cuts[0], cuts[1]), (cuts[2], cuts[3])) if rng.random() < 0.4 else ((cuts[0], cuts[1]),)
        spans.add(Span(fragments, rng.choice(CODES)))
    return frozenset(spans)


def test_equals_set_intersection_on_overlapping_and_discontinuous_spans() -> None:
    rng = random.Random(0)
    for _ in range(1000):
        notes = [EvaluatedNote(str(i), "es", random_spans(rng), random_spans(rng)) for i in range(3)]
        gold = {(note.unit, span.fragments, span.code) for note in notes for span in note.gold}
        predicted = {(note.unit, span.fragments, span.code) for note in notes for span in note.predicted}
        expected = Counts(len(gold & predicted), len(predicted - gold), len(gold - predicted))
        assert count_spans(notes, replicates=0).micro() == expected


def test_the_same_words_with_another_code_or_another_fragment_are_wrong() -> None:
    gold = frozenset({Span(((0, 5), (9, 12)), "R07")})
    for predicted in (Span(((0, 5), (9, 12)), "R52"), Span(((0, 12),), "R07"), Span(((0, 5),), "R07")):
        counts = count_spans([EvaluatedNote("u", "es", gold, frozenset({predicted}))])
        assert counts.micro() == Counts(0, 1, 1)


def test_a_span_with_two_codes_is_two_mentions() -> None:
    gold = frozenset({Span(((0, 5),), "R07"), Span(((0, 5),), "R52")})
    assert count_spans([EvaluatedNote("u", "es", gold, frozenset({Span(((0, 5),), "R07")}))]).micro() == Counts(1, 0, 1)


def test_the_same_span_in_another_note_is_another_mention() -> None:
    span = frozenset({Span(((0, 5),), "R07")})
    notes = [EvaluatedNote("a", "es", span, frozenset()), EvaluatedNote("b", "es", frozenset(), span)]
    assert count_spans(notes).micro() == Counts(0, 1, 1)


def test_a_note_without_predictions_counts_as_empty() -> None:
    gold = [Note("a", "tos", (Span(((0, 3),), "R05"),), "es", patient="p"), Note("b", "tos")]
    assert evaluated(gold, {}) == [
        EvaluatedNote("p", "es", frozenset(gold[0].spans), frozenset()),
        EvaluatedNote("b", "", frozenset(), frozenset()),
    ]


def test_predictions_for_notes_that_gold_lacks_are_refused_without_naming_them() -> None:
    with pytest.raises(ValueError, match=r"^1 predicted note\(s\) are not among the 1 gold notes$"):
        evaluated([Note("a", "tos")], {"SECRET": []})
    with pytest.raises(ValueError, match="each id once"):
        evaluated([Note("a", "tos"), Note("a", "asma")], {})
