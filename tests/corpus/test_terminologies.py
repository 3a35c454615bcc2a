"""Names and forms: ICD-10 under all its names, and others that could pass for it."""

from pathlib import Path

import pytest

from clinfed.corpus import labels
from clinfed.corpus.terminologies import ICD10, formed, named, shown
from clinfed.errors import UserError


@pytest.mark.parametrize(
    "name",
    [
        "ICD-10",
        "ICD10",
        "icd-10",
        "ICD-10-CM",
        "ICD10CM",
        "ICD_10",
        "ICD_10_CM",
        "ICD-10-GM",
        "icd10gm",
        "ICD-10-WHO",
        "ICD10-CA",
        "ICD-10-AM",
        "ICD-10-ES",
        "CIE-10",
        "CIE10",
        "CIE-10-ES",
        "CIE-10-MC",
        "CIM-10",
        "CIM-10-FR",
        "CIM-10-MC",
        "CID-10",
        "CID10",
        "ICD-10-GM-2024",
        "ICD-10-CM/FY2024",
        "ICD-10-IT",
        "CIE-10-CAT",
        "ICD.10",
        "ICD10_code",
        "ICD",
        "CIE",
        "CIM",
    ],
)
def test_icd_10_has_many_names(name: str) -> None:
    assert named(name) == ICD10


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ICD-9", "ICD-9"),
        ("CIE-9-MC", "ICD-9"),
        ("ICD-11", "ICD-11"),
        ("ICD-O", "ICD-O"),
        ("cie-o-3.1", "ICD-O"),
        ("ICD-10-PCS", "ICD-10-PCS"),
        ("CIE10PCS", "ICD-10-PCS"),
        ("SNOMED_CT", "SNOMED CT"),
        ("SNOMEDCT_US", "SNOMED CT"),
        ("ICD-10 at", ""),
        ("mesh", "MeSH"),
        ("UMLS", "UMLS"),
        ("CID", ""),  # also PubChem's
        ("ICD-10-XX", ""),
        ("Negation", ""),
        ("", ""),
    ],
)
def test_other_names_are_not_icd_10(name: str, known: str) -> None:
    assert named(name) == known


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("T047", "UMLS"),
        ("t191", "UMLS"),
        ("C0011860", "UMLS"),
        ("D003924", "MeSH"),
        ("D000086382", "MeSH"),
        ("C535575", "MeSH"),
        ("M8041/3", "ICD-O"),
        ("8170/3", "ICD-O"),
        ("B304ZZZ", "ICD-10-PCS"),
        ("BW03ZZZ", "ICD-10-PCS"),
        ("0DTJ4ZZ", "ICD-10-PCS"),
        ("T04.7", ""),  # with its dot it is ICD-10's
        ("T07", ""),
        ("T191XXA", ""),
        ("T205", ""),  # UMLS ends at T204
        ("C441021", ""),
        ("I10", ""),
        ("FARMACO", ""),
        ("SYMPTOM", ""),
        ("2024031", ""),
    ],
)
def test_the_form_tells_whose_code_it_may_be(code: str, known: str) -> None:
    assert formed(code) == known


def test_a_list_of_codes_of_another_terminology_is_refused(tmp_path: Path) -> None:
    (tmp_path / "codes.json").write_text('["E11.9", "T191"]')
    with pytest.raises(UserError, match=r"entry 2 has the form of UMLS's codes; expected .*E11") as caught:
        labels.load(tmp_path / "codes.json")
    assert "T191" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "known"),
    [("MESH:D001249", "MeSH"), ("UMLS:C0004096", "UMLS"), ("HP:0002099", "HPO"), ("ICD10:J45.9", ""), ("x:J45.9", "")],
)
def test_a_name_before_a_colon_says_whose_a_code_is(code: str, known: str) -> None:
    assert formed(code) == known


@pytest.mark.parametrize(
    ("written", "counted"),
    [("MONDO", "MONDO"), ("icd9", "ICD-9"), ("J45.9", ""), ("J45", ""), ("NHC123", ""), ("Ana Roca", "")],
)
def test_an_unknown_system_is_shown_only_if_it_looks_like_a_name(written: str, counted: str) -> None:
    assert shown(written) == counted
