"""Long notes: aligning them takes steps in proportion to their length, and gives what the plain rules give."""

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinfed.corpus.note import Fragment, Span
from clinfed.tasks.tagging import bio, windows

CODES = ("A00", "B01", "C02")
TEXT = "l'HTA i DM2, mal control; dolor (lumbar) crònic. Té 38 graus"
UNIT = "tos i febre avui. "
SIZE = len(UNIT)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    cuts = sorted(draw(st.sets(st.integers(0, len(TEXT)), min_size=2, max_size=2)))
    apart = draw(st.booleans()) and cuts[1] + 2 <= len(TEXT)
    fragments = [(cuts[0], cuts[1])] + ([(cuts[1] + 1, len(TEXT))] if apart else [])
    return Span(tuple(fragments), draw(st.sampled_from(CODES)))


def plain_flat(given_spans: list[Span]) -> tuple[list[Span], Counter[str]]:
    """Return what `flat_spans` promises, by looking at all that is kept for each span."""
    kept: list[Span] = []
    unrepresentable: Counter[str] = Counter()
    for span in sorted(set(given_spans), key=lambda s: (s.start - s.end, s)):
        if len(span.fragments) > 1:
            unrepresentable["discontinuous"] += 1
        elif any(span.fragments == other.fragments for other in kept):
            unrepresentable["second code of a mention"] += 1
        elif any(span.start < other.end and other.start < span.end for other in kept):
            unrepresentable["overlapping"] += 1
        else:
            kept.append(span)
    return sorted(kept), unrepresentable


def plain_cover(words: list[Fragment], span: Span) -> tuple[list[int], bool]:
    touched = [i for i, (start, end) in enumerate(words) if start < span.end and span.start < end]
    exact = bool(touched) and (words[touched[0]][0], words[touched[-1]][1]) == (span.start, span.end)
    return touched, exact


@given(st.lists(spans(), max_size=25))
def test_flat_spans_are_those_of_the_plain_rule(some: list[Span]) -> None:
    assert bio.flat_spans(some) == plain_flat(some)


@given(spans())
def test_covered_words_are_those_of_the_plain_rule(span: Span) -> None:
    words = bio.words_of(TEXT)
    covered, exact = bio.covered_words(words, span)
    assert (list(covered), exact) == plain_cover(words, span)


def steps(function: Any, *arguments: Any, **options: Any) -> int:
    """Return how many lines of clinfed.tasks a call runs, a comprehension's as often as it goes round."""
    files = {bio.__file__, windows.__file__}
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line" and frame.f_code.co_filename in files
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    function(*arguments, **options)
    sys.settrace(before)
    return count


def tag(mentions: int) -> None:
    given_spans = [Span(((SIZE * i, SIZE * i + 3),), "A00") for i in range(mentions)]
    overlapping = [Span(((SIZE * i + 6, SIZE * i + size),), "B01") for i in range(mentions) for size in (11, 16)]
    words = bio.words_of(UNIT * mentions)
    tags, _, _ = bio.tags_of(words, given_spans + overlapping, {"A00": 0, "B01": 1})
    bio.spans_of(words, tags, CODES)


def cut(mentions: int) -> None:
    pieces = [[word] for word in range(5 * mentions)]
    windows.windows_of(pieces, cls_id=-1, sep_id=-2, size=64, stride=16)


@pytest.mark.parametrize("work", [tag, cut])
def test_four_times_the_note_takes_about_four_times_the_steps(work: Any) -> None:
    small, large = steps(work, 100), steps(work, 400)
    assert small > 1000
    assert large < 5 * small  # steps by the square would be 16 times as many
