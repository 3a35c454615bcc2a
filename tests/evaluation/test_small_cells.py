"""The small-cell rule: no named count is about fewer patients than the site says."""

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clinfed.corpus.note import Span
from clinfed.evaluation.small_cells import folded, frequent, nameable
from clinfed.evaluation.spans import EvaluatedNote, count_spans

CODES = ("A00", "B00", "C00", "site's own")
SHARED = set(CODES[:3])

spans = st.frozensets(st.builds(Span, st.sampled_from([((0, 3),), ((4, 7),)]), st.sampled_from(CODES)), max_size=4)
notes = st.lists(
    st.builds(EvaluatedNote, st.sampled_from("pqrstu"), st.sampled_from(["ca", "es"]), spans, spans), max_size=20
)


@given(notes, st.integers(0, 5))
def test_what_is_named_and_what_is_left_out_are_about_enough_patients_each(evaluated: Any, threshold: int) -> None:
    having = defaultdict(set)
    for note in evaluated:
        for span in note.gold:
            having[note.language, span.code].add(note.unit)
    named = nameable([evaluated], SHARED, threshold)
    assert all(code in SHARED and len(having[language, code]) >= threshold for language, code in named)
    for language in ("ca", "es"):
        cells = {cell: units for cell, units in having.items() if cell[0] == language}
        left_out = set().union(*(units for cell, units in cells.items() if cell not in named))
        everybody = set().union(*cells.values())
        assert not left_out or len(left_out) >= threshold or left_out == everybody


@given(notes, st.integers(0, 5))
def test_totals_stay_as_they_are(evaluated: Any, threshold: int) -> None:
    counts = count_spans(evaluated, replicates=3)
    fewer = counts.folded(nameable([evaluated], SHARED, threshold))
    assert [fewer.micro(of) for of in fewer.languages] == [counts.micro(of) for of in counts.languages]
    assert sum(fewer.bands().values(), start=type(fewer.micro())()) == counts.micro()


def test_without_a_threshold_every_shared_code_is_named() -> None:
    gold, predicted = Span(((0, 3),), "A00"), Span(((0, 3),), "B00")
    own = Span(((4, 7),), "site's own")
    evaluated = [EvaluatedNote("p", "ca", frozenset({gold, own}), frozenset({predicted}))]
    assert nameable([evaluated], SHARED, 0) == {("ca", "A00"), ("ca", "B00")}


def test_a_code_that_is_left_out_alone_takes_the_next_rarest_with_it() -> None:
    having = {"rare": {"p"}, "known": {"p", "q", "r"}, "common": {"p", "q", "r", "s"}}
    assert frequent(having, 3) == {"common"}
    assert folded({"rare": 1, "known": 3, "common": 9}, {"common"}) == {"common": 9, "other": 4}


def test_macro_f1_is_over_the_codes_that_are_named() -> None:
    gold = frozenset({Span(((0, 3),), "A00"), Span(((4, 7),), "C00")})
    found = frozenset({Span(((0, 3),), "A00")})
    evaluated = [EvaluatedNote(patient, "es", gold, found) for patient in "pq"]
    counts = count_spans(evaluated, replicates=0)
    assert counts.macro() == 0.5
    assert counts.folded({("es", "A00")}).macro() == 1.0
    assert counts.folded({("es", "A00")}).bands()["other"].fn == 2
