"""Counts merge by addition and scores are derived from the sums."""

from typing import Any

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.spans import EvaluatedNote, count_spans


def note(unit: str, language: str, gold: str, predicted: str) -> EvaluatedNote:
    """Return a note whose spans are named by a letter each: "aab" is two mentions of code A and one of B."""

    def spans(letters: str) -> frozenset[Span]:
        return frozenset(Span(((i, i + 1),), letter.upper()) for i, letter in enumerate(letters) if letter != " ")

    return EvaluatedNote(unit, language, spans(gold), spans(predicted))


def random_notes(rng: np.random.Generator, number: int) -> list[EvaluatedNote]:
    return [
        note(f"u{rng.integers(8)}", rng.choice(["ca", "es"]), *("".join(rng.choice(list("ab c"), 6)) for _ in range(2)))
        for _ in range(number)
    ]


def test_scores_of_counts() -> None:
    counts = Counts(tp=2, fp=1, fn=4)
    assert (counts.precision, counts.recall, counts.f1) == (2 / 3, 2 / 6, 4 / 9)  # 2*2 / (2*2 + 1 + 4)
    assert counts.support == 6
    assert Counts().f1 == 0.0


def test_merging_adds_counts_and_does_not_average_scores() -> None:
    right = SpanCounts({("es", "A"): Counts(1, 0, 0)})
    wrong = SpanCounts({("es", "A"): Counts(0, 0, 8), ("ca", "B"): Counts(0, 1, 0)})
    assert (right + wrong).micro() == Counts(1, 1, 8)
    assert (right + wrong).micro().f1 == pytest.approx(2 / 11)  # the mean of 1.0 and 0.0 would be 0.5


def test_the_two_macro_scores_differ_by_codes_that_were_only_predicted() -> None:
    counts = count_spans([note("u", "es", "ab ", "a c")])
    assert counts.macro("gold_or_predicted") == pytest.approx(1 / 3)  # A 1, B 0, C 0
    assert counts.macro("gold") == pytest.approx(1 / 2)  # A 1, B 0
    assert SpanCounts().macro() is None  # no code, no mean


def test_a_code_of_two_languages_is_one_code_in_the_macro() -> None:
    counts = SpanCounts({("ca", "A"): Counts(1, 0, 0), ("es", "A"): Counts(0, 0, 2), ("es", "B"): Counts(1, 0, 0)})
    assert counts.macro("gold") == pytest.approx(3 / 4)  # A 2/4, B 1; by (language, code) it would be 2/3
    assert counts.macro("gold", language="es") == pytest.approx(1 / 2)


def test_languages_are_those_of_the_notes() -> None:
    counts = count_spans([note("u", "ca", "a", "a"), note("u", "es", "a", "b")])
    assert {of: counts.micro(of) for of in counts.languages} == {"ca": Counts(1, 0, 0), "es": Counts(0, 1, 1)}


def test_bands_follow_the_merged_support_and_add_up() -> None:
    one = SpanCounts({("ca", "A"): Counts(3, 0, 0), ("es", "B"): Counts(0, 5, 0)})
    two = SpanCounts({("es", "A"): Counts(0, 1, 2), ("es", "C"): Counts(60, 0, 40), ("ca", "D"): Counts(4, 0, 0)})
    assert one.bands()["1-4"] == Counts(3, 0, 0)
    bands = (one + two).bands()  # A has 3 + 2 = 5 gold mentions together, B none, C 100, D 4
    assert bands == {
        "0": Counts(0, 5, 0),
        "1-4": Counts(4, 0, 0),
        "5-19": Counts(3, 1, 2),
        "20-99": Counts(),
        "100+": Counts(60, 0, 40),
    }
    assert sum(bands.values(), Counts()) == (one + two).micro()


@pytest.mark.parametrize("clinics", [2, 5])
def test_federated_equals_pooled_with_its_intervals(clinics: int) -> None:
    notes = random_notes(np.random.default_rng(clinics), 60)
    pooled = count_spans(notes, replicates=200)
    federated = sum((count_spans(notes[k::clinics], replicates=200) for k in range(clinics)), SpanCounts())
    assert federated == pooled
    assert federated.interval() == pooled.interval()
    assert federated.bands() == pooled.bands()


def test_the_wire_gives_back_the_same_counts() -> None:
    counts = count_spans(random_notes(np.random.default_rng(0), 20), replicates=50)
    assert SpanCounts.from_arrays(counts.to_arrays()) == counts
    assert SpanCounts.from_arrays(SpanCounts().to_arrays()) == SpanCounts()
    without = count_spans(random_notes(np.random.default_rng(0), 20), replicates=0)
    assert SpanCounts.from_arrays(without.to_arrays()) == without


def test_the_wire_holds_codes_languages_and_integers_only() -> None:
    wire = count_spans([note("SECRET-PATIENT", "es", "ab", "a")]).to_arrays()
    assert "SECRET" not in repr(wire)
    kinds = {key: value.dtype if isinstance(value, np.ndarray) else set(value) for key, value in wire.items()}
    assert kinds == {
        "languages": {"es"},
        "codes": {"A", "B"},
        "counts": np.int64,
        "replicate_languages": {"es"},
        "replicates": np.int64,
    }


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("counts", lambda counts: counts.astype(float)),
        ("counts", lambda counts: -counts),
        ("counts", lambda counts: counts[:-1]),
        ("counts", lambda counts: counts.tolist()),
        ("replicates", lambda replicates: replicates[..., :2]),
        ("replicates", lambda replicates: replicates[0]),
        ("codes", lambda codes: codes[:1] * len(codes)),
        ("codes", lambda codes: codes[:-1]),
    ],
)
def test_a_malformed_message_is_refused(key: str, change: Any) -> None:
    wire = count_spans([note("u", "es", "ab", "ac")]).to_arrays()
    with pytest.raises(ValueError, match=r"expected|negative|shorter"):
        SpanCounts.from_arrays({**wire, key: change(wire[key])})


def test_counts_with_other_numbers_of_replicates_are_not_merged() -> None:
    one = count_spans([note("u", "es", "a", "a")], replicates=10)
    other = count_spans([note("v", "es", "a", "a")], replicates=0)
    with pytest.raises(ValueError, match="same number"):
        one + other
    assert one + SpanCounts() == one


def test_codes_that_are_not_named_are_counted_together() -> None:
    counts = count_spans([note("u", "ca", "abc", "abd")], replicates=3).folded({("ca", "A")})
    # C missed and D invented stay a miss and an invention: folded before matching, they would be a hit.
    assert dict(counts.by_code) == {("ca", "A"): Counts(tp=1), ("ca", "other"): Counts(tp=1, fp=1, fn=1)}
    assert counts.num_replicates == 3
