"""ICD-10 codes: their written form, category and chapter.

Source: WHO ICD-10 (2019) and ICD-10-CM (2026) chapter ranges, whose union is taken where they differ.
"""

import re
from typing import NamedTuple

# A category is a letter and two digits; ICD-10-CM also has C4A, C7B, O9A and QA0. One to four characters follow
# the dot; X stands for a place that is left open, as in S42.90X and W19.XXX, which CodiEsp uses as codes.
_CATEGORY = r"[A-Z](?:[0-9][0-9AB]|A[0-9])"
_DOTTED = re.compile(rf"{_CATEGORY}(?:\.[0-9A-Z]{{1,4}})?")
# Of the letters after the category, those that ICD-10-CM has there (I21.A1, E11.A, C84.AA, Y93.K1), and only where the
# category itself begins with letter and digit: no label begins so, and no word becomes a code.
_LETTERED = r"(?<=[0-9][0-9AB])(?:[A-KZ][0-9X][0-9A-Z]{0,2}|[ABZ]A?)"
_UNDOTTED = re.compile(rf"({_CATEGORY})([0-9X][0-9A-Z]{{0,3}}|{_LETTERED})")


class Chapter(NamedTuple):
    """A chapter of ICD-10: first and last category, both inclusive, and title."""

    first: str
    last: str
    title: str


CHAPTERS: dict[str, Chapter] = {
    "I": Chapter("A00", "B99", "Certain infectious and parasitic diseases"),
    "II": Chapter("C00", "D49", "Neoplasms"),
    "III": Chapter("D50", "D99", "Diseases of the blood and blood-forming organs and certain immune disorders"),
    "IV": Chapter("E00", "E99", "Endocrine, nutritional and metabolic diseases"),
    "V": Chapter("F00", "F99", "Mental and behavioural disorders"),
    "VI": Chapter("G00", "G99", "Diseases of the nervous system"),
    "VII": Chapter("H00", "H59", "Diseases of the eye and adnexa"),
    "VIII": Chapter("H60", "H99", "Diseases of the ear and mastoid process"),
    "IX": Chapter("I00", "I99", "Diseases of the circulatory system"),
    "X": Chapter("J00", "J99", "Diseases of the respiratory system"),
    "XI": Chapter("K00", "K99", "Diseases of the digestive system"),
    "XII": Chapter("L00", "L99", "Diseases of the skin and subcutaneous tissue"),
    "XIII": Chapter("M00", "M99", "Diseases of the musculoskeletal system and connective tissue"),
    "XIV": Chapter("N00", "N99", "Diseases of the genitourinary system"),
    "XV": Chapter("O00", "O9B", "Pregnancy, childbirth and the puerperium"),
    "XVI": Chapter("P00", "P99", "Certain conditions originating in the perinatal period"),
    "XVII": Chapter("Q00", "QA9", "Congenital malformations, deformations and chromosomal abnormalities"),
    "XVIII": Chapter("R00", "R99", "Symptoms, signs and abnormal clinical and laboratory findings"),
    "XIX": Chapter("S00", "T99", "Injury, poisoning and certain other consequences of external causes"),
    "XX": Chapter("V00", "Y99", "External causes of morbidity and mortality"),
    "XXI": Chapter("Z00", "Z99", "Factors influencing health status and contact with health services"),
    "XXII": Chapter("U00", "U99", "Codes for special purposes"),
}


def normalise(code: str) -> str:
    """Return the code as the books write it: "n44.8" and "N448" become "N44.8".

    Raises: ValueError where the form is not ICD-10's, or no chapter holds it; the message does not repeat what was
    found.
    """
    upper = code.strip().upper()
    if parts := _UNDOTTED.fullmatch(upper):
        upper = f"{parts[1]}.{parts[2]}"
    if _DOTTED.fullmatch(upper):
        _chapter_of(upper[:3])
        return upper
    raise ValueError("not the form of an ICD-10 code (letter, two digits, then a dot and one to four characters)")


def is_code(text: str) -> bool:
    """Return whether the text has the form of an ICD-10 code of some chapter, whatever its case."""
    try:
        normalise(text)
    except ValueError:
        return False
    return True


def category(code: str) -> str:
    """Return the code's three characters before the dot. Raises ValueError as `normalise` does."""
    return normalise(code)[:3]


def chapter(code: str) -> str:
    """Return the roman number of the code's chapter, a key of CHAPTERS.

    Raises: ValueError where the form is not ICD-10's, labels such as FARMACO included.
    """
    return _chapter_of(category(code))


def _chapter_of(three: str) -> str:
    # Digits sort before letters in ASCII, so O9A falls after O99 and comparing strings is enough.
    for number, (first, last, _) in CHAPTERS.items():
        if first <= three <= last:
            return number
    raise ValueError("no chapter of ICD-10 holds this category")
