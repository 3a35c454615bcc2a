"""BIO tags over words: spans to tags, tags to spans, and what flat tagging cannot hold.

A code with index c in the label map has the tags B = 1 + 2c and I = 2 + 2c; 0 is O. The same numbers are the columns of
the flat head, so that L = 2C + 1.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from clinfed.corpus.composing import MARKS
from clinfed.corpus.note import Fragment, Note, Span

OUTSIDE = 0
IGNORED = -100  # what torch's cross-entropy leaves out

_WORD = re.compile(rf"\w[\w{MARKS}]*|[^\w\s]")


def words_of(text: str) -> list[Fragment]:
    """Return the character ranges of words: runs of letters, their marks and digits; other visible characters alone.

    They are the same for every tokenizer, so that tags, and with them scores, do not depend on the base.
    """
    return [match.span() for match in _WORD.finditer(text)]


def begin_tag(code_index: int) -> int:
    """Return the B tag of a code."""
    return 1 + 2 * code_index


def flat_spans(spans: Iterable[Span]) -> tuple[list[Span], Counter[str]]:
    """Return the spans that flat tagging can hold, in text order, and the others counted by reason.

    Rule: discontinuous spans cannot be held; of overlapping ones the longest is kept, then the earliest, then the first
    code in alphabetical order.
    """
    kept: dict[tuple[Fragment, ...], Span] = {}
    taken: set[int] = set()  # the characters of kept spans
    unrepresentable: Counter[str] = Counter()
    for span in sorted(set(spans), key=lambda s: (s.start - s.end, s)):
        if len(span.fragments) > 1:
            unrepresentable["discontinuous"] += 1
        elif span.fragments in kept:
            unrepresentable["second code of a mention"] += 1
        elif span.start in taken or span.end - 1 in taken:  # what is kept is no shorter, so it covers either end
            unrepresentable["overlapping"] += 1
        else:
            kept[span.fragments] = span
            taken.update(range(span.start, span.end))
    return sorted(kept.values()), unrepresentable


def covered_words(words: Sequence[Fragment], span: Span) -> tuple[range, bool]:
    """Return the indices of the words that a contiguous span touches, and whether it starts and ends at word limits.

    words: in reading order, apart from each other.
    """
    touched = range(
        bisect_right(words, span.start, key=lambda word: word[1]),
        bisect_left(words, span.end, key=lambda word: word[0]),
    )
    if not touched:
        return range(0), False
    return touched, (words[touched[0]][0], words[touched[-1]][1]) == (span.start, span.end)


def tags_of(
    words: Sequence[Fragment], spans: Iterable[Span], code_index: dict[str, int]
) -> tuple[list[int], list[Span], Counter[str]]:
    """Return a tag for each word, the spans that those tags hold exactly, and the lost ones counted by reason.

    A span whose limits fall inside words is tagged on the whole words, but cannot be found exactly: it counts as lost.
    """
    tags = [OUTSIDE] * len(words)
    kept, unrepresentable = flat_spans(spans)
    held: list[Span] = []
    for span in kept:
        covered, exact = covered_words(words, span)
        if span.code not in code_index:
            unrepresentable["code outside the label map"] += 1
        elif not covered or any(tags[i] for i in covered):
            unrepresentable["no word of its own"] += 1
        else:
            begin = begin_tag(code_index[span.code])
            for i in covered:
                tags[i] = begin + 1
            tags[covered[0]] = begin
            if exact:
                held.append(span)
            else:
                unrepresentable["limits inside a word"] += 1
    return tags, held, unrepresentable


def spans_of(words: Sequence[Fragment], tags: Sequence[int], codes: Sequence[str]) -> list[Span]:
    """Return the spans of a note's tags: a B begins one, and I tags of the same code continue it.

    An I tag that continues nothing, or has another code, ends what is open and begins nothing.
    Source: strict IOB2 as in seqeval 1.2.2.
    """
    spans: list[Span] = []
    first: int | None = None
    for i, tag in enumerate([*tags, OUTSIDE]):
        if first is not None and tag != tags[first] + 1:
            spans.append(Span(((words[first][0], words[i - 1][1]),), codes[(tags[first] - 1) // 2]))
            first = None
        if tag % 2 == 1:
            first = i
    return spans


def representable(notes: Iterable[Note], codes: Sequence[str]) -> tuple[dict[str, frozenset[Span]], Counter[str]]:
    """Return per note id the gold spans that flat tagging holds exactly, and the lost ones counted by reason."""
    code_index = {code: i for i, code in enumerate(codes)}
    held: dict[str, frozenset[Span]] = {}
    unrepresentable: Counter[str] = Counter()
    for note in notes:
        _, spans, missing = tags_of(words_of(note.text), note.spans, code_index)
        held[note.id] = frozenset(spans)
        unrepresentable += missing
    return held, unrepresentable
