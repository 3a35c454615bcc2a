"""What is wrong with a note's predictions: each mention under one kind, so that people can look at one kind at a time.

Exact mentions are the strict true positives. All others with a prediction are the false positives, all others with gold
the false negatives, so that counts by kind add up to the strict ones.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clinfed.corpus.note import Span

EXACT, WRONG_CODE, WRONG_BOUNDARY = "exact", "wrong code", "wrong boundary"
SPURIOUS, MISSED = "spurious", "missed"
KINDS = (EXACT, WRONG_CODE, WRONG_BOUNDARY, SPURIOUS, MISSED)


@dataclass(frozen=True, slots=True)
class Mention:
    """A gold span, a predicted one, or the two that belong together.

    kind: one of KINDS; "wrong code" is the same fragments under another code, "wrong boundary" the same code at
    fragments that overlap, "spurious" any other prediction and "missed" any other gold.
    """

    kind: str
    gold: Span | None
    predicted: Span | None

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the gold and the predicted span, as far as there are."""
        return tuple(span for span in (self.gold, self.predicted) if span)


def compare(gold: Iterable[Span], predicted: Iterable[Span]) -> list[Mention]:
    """Return the mentions in reading order; each span stands in exactly one of them.

    Of several that could belong together the most alike do: codes with the longest common beginning, then overlaps of
    the most characters.
    """
    wanted, found = set(gold), set(predicted)
    mentions = [Mention(EXACT, span, span) for span in wanted & found]
    wanted, found = wanted - found, found - wanted
    for kind, likeness in ((WRONG_CODE, _alike_codes), (WRONG_BOUNDARY, _common_characters)):
        for one, other in _pairs(wanted, found, likeness):
            mentions.append(Mention(kind, one, other))
            wanted.remove(one)
            found.remove(other)
    mentions += [Mention(SPURIOUS, None, span) for span in found]
    mentions += [Mention(MISSED, span, None) for span in wanted]
    return sorted(mentions, key=lambda mention: (min(mention.spans), KINDS.index(mention.kind)))


def overlapping(gold: Iterable[Span], predicted: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Return pairs of the same code that overlap, each span in one at most; those with most common characters first."""
    return _pairs(set(gold), set(predicted), _common_characters)


def _pairs(gold: set[Span], predicted: set[Span], likeness: Callable[[Span, Span], int]) -> list[tuple[Span, Span]]:
    """Return pairs without common members, the most alike first; 0 is no likeness."""
    candidates = [(-alike, one, other) for one in gold for other in predicted if (alike := likeness(one, other))]
    pairs: list[tuple[Span, Span]] = []
    taken: set[Span] = set()  # no span is in both sets
    for _, one, other in sorted(candidates):
        if one not in taken and other not in taken:
            pairs.append((one, other))
            taken |= {one, other}
    return pairs


def _alike_codes(gold: Span, predicted: Span) -> int:
    """Return 1 and the characters that the codes' beginnings share, 0 unless the fragments are the same."""
    if gold.fragments != predicted.fragments:
        return 0
    pairs = zip(gold.code, predicted.code, strict=False)
    return 1 + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _common_characters(gold: Span, predicted: Span) -> int:
    """Return how many characters both cover, 0 where the codes differ."""
    if gold.code != predicted.code:
        return 0
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for start, end in gold.fragments
        for other_start, other_end in predicted.fragments
    )
