"""Highlighted notes: nothing of the text is lost, and every mention is shown as what it is."""

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.report.highlights import EXTRA, MISSED, RIGHT, pieces

TEXT = "asma e hipertensio arterial hoy"


def span(*fragments: tuple[int, int], code: str = "I10") -> Span:
    return Span(fragments, code)


def test_right_missed_and_extra_mentions_are_told_apart() -> None:
    note = Note("n", TEXT, (span((0, 4), code="J45"), span((7, 27))))
    found = pieces(note, [span((0, 4), code="J45"), span((28, 31), code="R69")])
    assert [(piece.text, piece.kind) for piece in found] == [
        ("asma", RIGHT),
        (" e ", ""),
        ("hipertensio arterial", MISSED),
        (" ", ""),
        ("hoy", EXTRA),
    ]


def test_a_right_span_with_a_wrong_code_is_missed_and_extra() -> None:
    [piece] = pieces(Note("n", "asma", (span((0, 4), code="J45"),)), [span((0, 4), code="J44")])
    assert piece.marks == (("extra", "J44"), ("missed", "J45"))
    assert piece.kind == MISSED


def test_overlapping_and_discontinuous_mentions_lose_no_text() -> None:
    note = Note("n", TEXT, (span((0, 4), (7, 18)), span((7, 27))))
    found = pieces(note, [span((0, 18))])
    assert "".join(piece.text for piece in found) == TEXT
    assert {kind for piece in found for kind, _ in piece.marks} == {MISSED, EXTRA}


def test_a_note_without_mentions_is_one_piece_and_an_empty_one_none() -> None:
    assert [piece.text for piece in pieces(Note("n", TEXT), [])] == [TEXT]
    assert pieces(Note("n", ""), []) == []
