"""Votes of several taggers: the mean of their scores, and the threshold that validation justifies."""

import pytest

from clinfed.baselines.votes import least_vote, voted, votes
from clinfed.corpus.note import Span

ASMA, TOS, ASMA_LEVE = Span(((0, 4),), "J45"), Span(((10, 13),), "R05"), Span(((0, 9),), "J45.9")


def test_a_tagger_that_lacks_a_span_gives_it_nothing() -> None:
    scores = votes([{ASMA: 0.8, TOS: 0.4}, {ASMA: 0.6}])
    assert scores == {ASMA: pytest.approx(0.7), TOS: pytest.approx(0.2)}  # the mean of those that have it would be .4


def test_of_overlapping_spans_the_best_is_kept() -> None:
    assert voted({ASMA: 0.5, ASMA_LEVE: 0.6, TOS: 0.3}, 0.2) == [ASMA_LEVE, TOS]
    assert voted({ASMA: 0.5, ASMA_LEVE: 0.6, TOS: 0.3}, 0.55) == [ASMA_LEVE]


def test_the_threshold_is_the_best_on_validation() -> None:
    # A span of one tagger of two (.4) is right once of three times, one of both (.8) always.
    notes = [({ASMA}, {ASMA: 0.8, TOS: 0.4}), ({ASMA}, {ASMA: 0.8, TOS: 0.4}), ({TOS}, {TOS: 0.4})]
    # With both: 3 right of 5 predicted and 3 gold, 6 / 8; with .8 alone: 2 right of 2, 4 / 5.
    assert 0.4 < least_vote(notes) <= 0.8
    assert least_vote([({TOS}, {TOS: 0.4})]) <= 0.4
