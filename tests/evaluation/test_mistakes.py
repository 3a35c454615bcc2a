"""Kinds of mistakes: each span under one, and their counts are the strict ones."""

import random

import pytest

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.mistakes import (
    EXACT,
    KINDS,
    MISSED,
    SPURIOUS,
    WRONG_BOUNDARY,
    WRONG_CODE,
    Mention,
    compare,
)
from clinfed.evaluation.spans import count_spans, evaluated


def span(code: str, *fragments: tuple[int, int]) -> Span:
    return Span(fragments, code)


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        (span("I10", (0, 4)), span("I10", (0, 4)), EXACT),
        (span("I10", (0, 4)), span("I11", (0, 4)), WRONG_CODE),
        (span("I10", (0, 4)), span("I10", (2, 9)), WRONG_BOUNDARY),
        (span("I10", (0, 4), (8, 9)), span("I10", (0, 4), (8, 9)), EXACT),
        (span("I10", (0, 4), (8, 9)), span("I10", (0, 9)), WRONG_BOUNDARY),  # a discontinuous one, predicted in one
        (span("I10", (0, 4), (8, 9)), span("J45", (0, 4), (8, 9)), WRONG_CODE),
    ],
)
def test_a_pair_is_one_mention(gold: Span, predicted: Span, kind: str) -> None:
    assert compare([gold], [predicted]) == [Mention(kind, gold, predicted)]


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        (span("I10", (0, 4)), span("I10", (4, 9))),  # half-open: they touch, and share no character
        (span("I10", (0, 4), (8, 9)), span("I10", (4, 8))),  # in the gap
        (span("I10", (0, 4)), span("J45", (2, 9))),  # overlapping, but neither place nor code is right
    ],
)
def test_what_shares_neither_place_nor_code_is_missed_and_spurious(gold: Span, predicted: Span) -> None:
    assert {(each.kind, each.gold, each.predicted) for each in compare([gold], [predicted])} == {
        (MISSED, gold, None),
        (SPURIOUS, None, predicted),
    }


def test_no_span_is_in_two_mentions() -> None:
    gold, first, second = span("I10", (0, 9)), span("I10", (0, 3)), span("I10", (4, 9))
    # Both predictions overlap the one gold; the second shares 5 characters with it, the first 3.
    assert compare([gold], [first, second]) == [
        Mention(SPURIOUS, None, first),
        Mention(WRONG_BOUNDARY, gold, second),
    ]


def test_a_span_of_two_codes_is_right_in_one_and_wrong_in_the_other() -> None:
    gold = [span("E11.9", (0, 4)), span("I10", (0, 4))]
    predicted = [span("E11.2", (0, 4)), span("I10", (0, 4))]
    assert compare(gold, predicted) == [Mention(WRONG_CODE, gold[0], predicted[0]), Mention(EXACT, gold[1], gold[1])]


def test_of_two_wrong_codes_those_that_begin_alike_belong_together() -> None:
    gold = [span("A00", (0, 4)), span("J45.9", (0, 4))]
    predicted = [span("J45.0", (0, 4)), span("Z99", (0, 4))]
    # In the order of codes A00 would go with J45.0.
    found = compare(gold, predicted)
    assert [(each.gold, each.predicted) for each in found] == [(gold[0], predicted[1]), (gold[1], predicted[0])]


def test_a_wrong_code_is_settled_before_a_wrong_boundary() -> None:
    gold, same_place, same_code = span("I10", (0, 4)), span("I11", (0, 4)), span("I10", (0, 5))
    assert [each.kind for each in compare([gold], [same_place, same_code])] == [WRONG_CODE, SPURIOUS]


def test_counts_by_kind_add_up_to_the_strict_counts() -> None:
    draw = random.Random(0)

    def spans() -> tuple[Span, ...]:
        starts = [draw.randrange(12) for _ in range(8)]
        return tuple(
            {span(draw.choice(("I10", "I11", "J45")), (start, start + draw.randint(1, 4))) for start in starts}
        )

    total = dict.fromkeys(KINDS, 0)
    notes = [Note(str(number), "x" * 20, spans()) for number in range(50)]
    predicted = {note.id: spans() for note in notes}
    for note in notes:
        for each in compare(note.spans, predicted[note.id]):
            total[each.kind] += 1
    counts = count_spans(evaluated(notes, predicted), replicates=0).micro()
    wrong = total[WRONG_CODE] + total[WRONG_BOUNDARY]
    assert (counts.tp, counts.fp, counts.fn) == (total[EXACT], wrong + total[SPURIOUS], wrong + total[MISSED])
    assert min(total.values()) > 0
