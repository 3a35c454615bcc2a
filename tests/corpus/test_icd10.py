from pathlib import Path

import pytest

from clinfed.corpus import icd10


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("n44.8", "N44.8"),
        (" e119 ", "E11.9"),  # many exports leave the dot out
        ("R52", "R52"),
        ("s42.90x", "S42.90X"),  # placeholders for what is left open, 3% of CodiEsp
        ("w19.xxx", "W19.XXX"),
        ("W19XXXA", "W19.XXXA"),
        ("i21a1", "I21.A1"),  # ICD-10-CM has letters after some categories
        ("E11A", "E11.A"),
        ("G43A0", "G43.A0"),
        ("G43E09", "G43.E09"),
        ("C84A0", "C84.A0"),
        ("C84AA", "C84.AA"),
        ("T45AX1A", "T45.AX1A"),
        ("Y93K1", "Y93.K1"),
        ("c7a.1", "C7A.1"),
        ("O9A.2", "O9A.2"),
        ("u07.1", "U07.1"),
        ("M05A", "M05.A"),
        ("C81.1a", "C81.1A"),
        ("I82.4Y1", "I82.4Y1"),
        ("s02.11aa", "S02.11AA"),
        ("H54.413A", "H54.413A"),
        ("W44A0XA", "W44.A0XA"),
        ("C441021", "C44.1021"),  # four digits, as only eyelids have them among neoplasms
        ("QA00101", "QA0.0101"),
        ("T047", "T04.7"),  # WHO's; readers of notes want its dot (terminologies)
    ],
)
def test_a_code_becomes_upper_case_with_its_dot(written: str, normal: str) -> None:
    assert icd10.normalise(written) == normal
    assert icd10.is_code(written)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "E1",
        "11.9",
        "E11.",
        "E11.9.1",
        "E11,9",
        "E11.12345",
        "EE1.9",
        "bw03zzz",
        "FARMACO",
        "diabetes",
        "E11-9",
        "È11.9",
        "B12MG",  # words beside a number
        "T10CM",
        "H20BUENO",
        "QA0BA",
        "EA1.9",
        "EA19",
        "I9A.1",
        "T1A",  # A or B in the third place of a few categories only: a stage is no code
        "T2B",
        "D003924",  # MeSH
        "C535575",
        "B304ZZZ",  # ICD-10-PCS
        "F07Z9ZZ",
        "F07.Z9ZZ",
        "A10BA02",  # ATC
        "N02BE01",
        "C09A",
        "CA40",  # ICD-11
        "QA00.0",
        "M8041/3",  # ICD-O
        "D50.A",  # letters after the dot, where ICD-10-CM has none
        "E11.B",
        "E11.9Z",
        "S42.90T",
        "D05.1234",
    ],
)
def test_what_is_no_code_is_refused_without_repeating_it(wrong: str) -> None:
    assert not icd10.is_code(wrong)
    with pytest.raises(ValueError, match="not the form") as caught:
        icd10.normalise(wrong)
    assert not wrong or wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("A00.0", "I"),
        ("D48.9", "II"),  # chapters II and III meet inside the letter D,
        ("D50.0", "III"),
        ("D3A.0", "II"),  # where D3A sorts between D39 and D40
        ("H59.9", "VII"),  # and VII and VIII inside H
        ("H60.0", "VIII"),
        ("O9A.2", "XV"),
        ("R52", "XVIII"),
        ("T88.9", "XIX"),
        ("W19.XXX", "XX"),
        ("z20.818", "XXI"),
        ("U07.1", "XXII"),
    ],
)
def test_chapters_have_their_ranges(code: str, number: str) -> None:
    assert icd10.chapter(code) == number


def test_every_category_has_exactly_one_chapter() -> None:
    categories = [f"{letter}{number:02}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for number in range(100)]
    for category in categories:
        assert sum(first <= category <= last for first, last, _ in icd10.CHAPTERS.values()) == 1


def test_a_label_without_code_has_no_chapter() -> None:
    with pytest.raises(ValueError, match="not the form"):
        icd10.chapter("FARMACO")


def test_category_is_what_stands_before_the_dot() -> None:
    assert icd10.category("e119") == "E11"


def test_every_code_of_icd_10_cm_has_the_form(data_path: Path) -> None:
    lines = (data_path / "icd10cm/icd10cm-order-Jan-2021.txt").read_text("utf-8").splitlines()
    codes = [line[6:14].strip() for line in lines]  # without dot, as the order file has them
    assert len(codes) == 95_358
    assert [code for code in codes if not icd10.is_code(code)] == []
    assert [code for code in codes if icd10.normalise(code).replace(".", "") != code] == []


def test_every_diagnosis_of_codiesp_has_the_form(codiesp_path: Path) -> None:
    tables = [codiesp_path / split / f"{split}X.tsv" for split in ("train", "dev")]
    rows = [line.split("\t") for table in tables for line in table.read_text("utf-8").splitlines()]
    codes = {row[2] for row in rows if row[1] == "DIAGNOSTICO"}
    assert len(codes) == 2194
    assert [code for code in codes if not icd10.is_code(code)] == []
    # Procedures in full have seven signs; truncated to four (b318), no form tells them from diagnoses.
    procedures = {row[2] for row in rows if row[1] == "PROCEDIMIENTO" and len(row[2]) == 7}
    assert len(procedures) > 100
    assert [code for code in procedures if icd10.is_code(code)] == []
