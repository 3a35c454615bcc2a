"""Ensemble: which spans of tagger and lexicon are kept, and how the thresholds are chosen."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinfed.baselines.ensemble import LEAST, LEAST_PATIENTS, NEVER, Ensemble
from clinfed.corpus.note import Span


def span(start: int, end: int, code: str = "E11.9") -> Span:
    return Span(((start, end),), code)


def test_what_both_find_is_kept_whatever_its_scores() -> None:
    assert Ensemble(NEVER, NEVER, NEVER).spans({span(0, 3): 0.1}, {span(0, 3): 0.3}) == {span(0, 3)}


def test_a_span_of_one_side_alone_needs_its_sides_threshold() -> None:
    tagged = {span(0, 3): 0.9, span(5, 8): 0.6}
    known = {span(10, 13): 1.0, span(15, 18): 0.4}
    assert Ensemble(tagger=0.8, against=0.0, lexicon=0.5).spans(tagged, known) == {span(0, 3), span(10, 13)}


def test_where_the_two_disagree_only_one_is_kept() -> None:
    tagged, known = {span(0, 8): 0.7}, {span(4, 12, "I10"): 1.0}
    assert Ensemble(0.0, 0.6, 0.0).spans(tagged, known) == {span(0, 8)}
    assert Ensemble(0.0, 0.8, 0.0).spans(tagged, known) == {span(4, 12, "I10")}


def test_two_spans_against_one_are_as_sure_as_the_less_sure_of_them() -> None:
    tagged, known = {span(0, 4): 0.9, span(5, 9): 0.5}, {span(0, 9, "I10"): 1.0}
    assert Ensemble(0.0, 0.6, 0.0).spans(tagged, known) == {span(0, 9, "I10")}


def test_the_thresholds_are_those_of_the_best_f1_on_unseen_notes() -> None:
    # Right from .7 on and wrong below, in three notes; what the lexicon alone finds is wrong at any share.
    notes = [({span(0, 3)}, {span(0, 3): score}, {span(9, 12, "I10"): 1.0}) for score in (0.7, 0.8)]
    notes += [(set(), {span(0, 3): 0.65}, {})]
    ensemble = Ensemble.fit(notes, patients=2)
    assert ensemble.tagger == 0.7
    assert ensemble.lexicon == NEVER


@pytest.mark.parametrize("patients", range(LEAST_PATIENTS))
def test_with_too_few_validation_patients_the_taggers_spans_alone_are_kept(patients: int) -> None:
    # The lexicon is right in the one note there is, and still only two patients may choose it.
    notes = [({span(9, 12)}, {span(0, 3): 0.1}, {span(9, 12): 1.0})] * patients
    ensemble = Ensemble.fit(notes, patients=patients)
    assert ensemble.spans({span(0, 3): 0.1}, {span(9, 12): 1.0, span(2, 8, "I10"): 1.0}) == {span(0, 3)}
    assert Ensemble.fit(notes, patients=LEAST_PATIENTS) != ensemble


spans_of_a_note = st.sets(st.integers(0, 15)).flatmap(
    lambda cuts: st.fixed_dictionaries(
        {span(a, b): st.sampled_from([0.1, 0.45, 0.75, 0.99]) for a, b in pairwise(sorted(cuts))}
    )
)


@given(st.lists(st.tuples(spans_of_a_note.map(set), spans_of_a_note, spans_of_a_note), max_size=4))
def test_kept_spans_never_overlap_and_fitting_is_no_worse_than_either_side_alone(notes: Any) -> None:
    def f1(join: Ensemble) -> float:
        kept = [ensemble.spans(tagged, known) for _, tagged, known in notes]
        hits = sum(len(gold & spans) for (gold, _, _), spans in zip(notes, kept, strict=True))
        return 2 * hits / max(1, sum(map(len, kept)) + sum(len(gold) for gold, _, _ in notes))

    ensemble = Ensemble.fit(notes, patients=2)
    for _, tagged, known in notes:
        ordered = sorted(ensemble.spans(tagged, known))
        assert all(left.end <= right.start for left, right in pairwise(ordered))
    assert {ensemble.tagger, ensemble.against, ensemble.lexicon} <= set(LEAST)
    assert f1(ensemble) >= max(f1(Ensemble(NEVER, NEVER, 0.0)), f1(Ensemble(0.0, 0.0, NEVER)))
