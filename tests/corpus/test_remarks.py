"""Annotators' remarks: lists of codes are read whole, prose gives none, and what is not read is counted."""

from collections import Counter

import pytest

from clinfed.corpus.remarks import Remark, parse
from clinfed.corpus.terminologies import ICD10


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("I10", ["I10"]),
        ("i10.", ["I10"]),
        ("E10.3+ H36.0*", ["E10.3", "H36.0"]),
        ("E10.3† H36.0*", ["E10.3", "H36.0"]),
        ("E11.9 y I10", ["E11.9", "I10"]),
        ("E11.9, I10 i N18.9", ["E11.9", "I10", "N18.9"]),
        ("I10; Z13.6.", ["I10", "Z13.6"]),
        ("E11.9, (I10)", ["E11.9", "I10"]),
        ("[E11.9] & I10", ["E11.9", "I10"]),
        ("E11.9/I10 | R05 - N18.9", ["E11.9", "I10", "R05", "N18.9"]),
        ("E11.9,I10", ["E11.9", "I10"]),
        ("I10 I10", ["I10"]),
        ("CIE-10-ES: E11.9; ICD10:I10", ["E11.9", "I10"]),
        ("CIE 10 I10 hipertensión", ["I10"]),  # named, so that words may follow
        ("E11.9 DM2 (tipo 2); N18.9: ERC", ["E11.9", "N18.9"]),
        ("I10, E11.9 mal controlada", ["I10", "E11.9"]),
        ("E11.9? dudoso", ["E11.9"]),
    ],
)
def test_lists_of_codes_are_read_whole(text: str, codes: list[str]) -> None:
    assert parse(text) == Remark(codes)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("B12 bajo, pedir control", 1),
        ("B12: pedir", 1),
        ("B12; pedir", 1),
        ("I10; B12 bajo", 2),  # no code is beyond doubt
        ("F18 FDG", 1),
        ("I131 ablación", 1),
        ("I10?", 1),
        ("no es E11.9 sino E10.9", 2),
        ("E11,9 mal controlada", 1),
        ("T1a N0 segun informe", 0),
        ("T2DM mal controlada", 0),
        ("A1c", 0),
        ("H1N1", 0),
        ("P2Y12", 0),
        ("score 0.98", 0),
        ("", 0),
    ],
)
def test_prose_gives_no_code_and_what_looks_like_one_is_counted(text: str, unread: int) -> None:
    assert parse(text) == Remark(unread=unread)


def test_codes_after_words_are_counted_beside_those_that_are_read() -> None:
    assert parse("E11.9; B12 bajo; I10") == Remark(["E11.9"], unread=2)
    assert parse("E11.9 no, es E10.9") == Remark(["E11.9"], unread=1)


@pytest.mark.parametrize("text", ["E11,9", "I10; N18,9", "E11 .9", "E11.99999", "E11.9 y N18,9; R05", "E11.-"])
def test_a_slip_in_a_list_is_no_remark(text: str) -> None:
    assert parse(text).broken


@pytest.mark.parametrize(
    ("text", "codes", "others"),
    [
        ("C22.0 8170/3;C77.1 8000/6", ["C22.0", "C77.1"], {"ICD-O": 2}),
        ("M8041/3", [], {"ICD-O": 1}),
        ("ICD-O-3: C50.9; C50.4", [], {"ICD-O": 2}),  # topography, which looks like ICD-10
        ("ICD-9: V58.6; ICD-10: Z79.4", ["Z79.4"], {"ICD-9": 1}),
        ("SNOMED CT 73211009; E11.9", ["E11.9"], {"SNOMED CT": 1}),
        ("D003924, C0011860", [], {"MeSH": 1, "UMLS": 1}),
        ("ICD-10-PCS B304ZZZ", [], {"ICD-10-PCS": 1}),
        ("T047", [], {"UMLS": 1}),
    ],
)
def test_codes_of_other_terminologies_are_counted_by_name(text: str, codes: list[str], others: dict[str, int]) -> None:
    assert parse(text) == Remark(codes, others=Counter(others))


def test_a_place_that_names_icd_10_needs_no_dot() -> None:
    assert parse("I10 dudoso", terminology=ICD10) == Remark(["I10"])
