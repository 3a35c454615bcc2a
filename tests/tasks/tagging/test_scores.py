"""Scores of mentions: the probability, at a word, of both tags of its code; worked by hand."""

import math

import pytest
import torch

from clinfed.tasks.tagging.base import Tagging
from clinfed.tasks.tagging.factored import JerlFactored
from clinfed.tasks.tagging.flat import Jerl


def head_giving(task: Tagging, **logits: list[float]) -> torch.nn.Module:
    """Return the task's head for H = 1 and two codes, whose layers give these logits times the hidden value."""
    head = task.head(1, 2).eval()
    for name, column in logits.items():
        with torch.no_grad():
            head[name].weight.copy_(torch.tensor(column).unsqueeze(1))
            head[name].bias.zero_()
    return head


def scored(task: Tagging, head: torch.nn.Module, hidden: list[float]) -> tuple[list[int], list[float]]:
    words = torch.tensor(hidden).unsqueeze(1)
    windows = features = torch.zeros(len(hidden), dtype=torch.int64)
    tags, scores = task.scored(head, words, windows, features)
    assert task.tag(head, words, windows, features).tolist() == tags.tolist()
    return tags.tolist(), scores.tolist()


@pytest.mark.parametrize(("place", "tag"), [(3, 3), (4, 4)])
def test_the_flat_heads_score_is_both_tags_of_the_code(place: int, tag: int) -> None:
    column = [0.0, 0.0, 0.0, 0.0, 0.0]  # O, B-0, I-0, B-1, I-1
    column[place] = math.log(5)
    tags, scores = scored(Jerl(), head_giving(Jerl(), tag=column), [1.0])
    assert tags == [tag]
    assert scores == [pytest.approx((5 + 1) / 9)]  # the most probable tag alone would be 5 / 9


def test_a_word_outside_has_score_0() -> None:
    tags, scores = scored(Jerl(), head_giving(Jerl(), tag=[3.0, 0.0, 0.0, 0.0, 0.0]), [1.0])
    assert (tags, scores) == ([0], [0.0])
    factored = head_giving(JerlFactored(), mention=[3.0, 0.0, 0.0], code=[0.0, 0.0])
    assert scored(JerlFactored(), factored, [1.0]) == ([0], [0.0])


def test_the_factored_heads_score_is_the_mention_times_the_mean_vote_on_the_code() -> None:
    # Word 1 is a B, and word 2, whose hidden value is negative, an I.
    head = head_giving(JerlFactored(), mention=[0.0, math.log(2), -math.log(4)], code=[0.0, math.log(9)])
    tags, scores = scored(JerlFactored(), head, [1.0, -0.5])
    # Word 1: 1 : 2 : 1/4, so p(B) + p(I) = 2.25 / 3.25. Word 2: 1 : 2 ** -0.5 : 2.
    # Votes for code 1: 9/10 and (1/3) / (4/3) = 1/4; for code 0: 1/10 and 3/4.
    one, zero = math.sqrt(9 / 10 * 1 / 4), math.sqrt(1 / 10 * 3 / 4)
    certainty = one / (one + zero)
    second = (2**-0.5 + 2) / (1 + 2**-0.5 + 2)
    assert tags == [3, 4]
    assert scores == [pytest.approx(2.25 / 3.25 * certainty), pytest.approx(second * certainty)]
