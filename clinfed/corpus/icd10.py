"""ICD-10 codes: their written form, category and chapter.

Digits follow WHO ICD-10 (2019) and its national editions: up to three after the dot, in any chapter. Letters stand only
where ICD-10-CM (2021 to 2026) has them. X may also stand for an open place, as in S42.90X and W19.XXX, which CodiEsp
uses as codes. A chapter is the union of WHO's and ICD-10-CM's ranges.
"""

import re
from typing import NamedTuple

_CATEGORY = re.compile(r"[A-Z][0-9]{2}|C4A|C7[AB]|D3A|I[15]A|J4A|M1A|O9A|QA0|Z3A")
# Which beginnings of a code, dot left out, end in a letter; by the letter's place. E11.A, C84.Z and Y93.K are three.
_LETTERED = {
    4: re.compile(
        r"(?:C49|C50|C84|C9[126]|D46|D75|E1[016]|E88|F0[1-3]|F32|F68|F78|G20|G35|G4[03]|G90|H9[03]|I21|I82|K31|K82|L24"
        r"|L98|M05|M45|M51|M79|M96|N0[0-7]|N80|N85|O09|O35|R09|R10|S06|T36|T45|T50|T7[469]|T80|W44|Y3[67]|Y93|Z51|Z67"
        r"|Z84|Z91)A|(?:D46|F0[1-3]|G20|G35|G4[03]|G90|I21|I82|L24|N0[0247]|N80|O35|T50|W44|Y93|Z91)B"
        r"|(?:D46|F0[1-3]|G20|G35|G4[03]|I82|N80|O35|W44|Y93)C|(?:G35|G43|N80|O35|W44|Y93)D|(?:G43|O35|W44|Y93)E"
        r"|(?:O35|W44|Y93)[F-H]|Y93[I-L]|(?:C84|C9[1236]|D4[67]|T50)Z|(?:J09|[MSTV-Y][0-9]{2})X"
    ),
    5: re.compile(
        r"C8[1-5].[AB]|H018[AB]|H442[A-E]|H578A|I82[45][YZ]|M0[568].A|M350[A-C]|M45AB|M625A|M80.[AB]|N803[A-C]|P041A"
        r"|R108A|R402A|S068A|S309A|Y936A|Z368A|Z854A|[HMOSTV-Y].{3}X"
    ),
    6: re.compile(
        r"H0[0-2].{2}[A-C]|H54.{2}A|L033.A|S021.[A-H]|S024.[A-F]|S06.{2}A|S3[01].{2}A|Z860.A|(?:E(?:0[89]|1[013])37"
        r"|[HMOSTV-Y].{4})X"
    ),
    7: re.compile(r"H54.{3}A|M.{5}[ADGKPSX]|S.{5}[A-HJKMNP-SX]|[TV-Y].{5}[ADSX]|O.{5}X"),
}
# Four digits after the dot; else MeSH's D003924 and C535575 would be codes.
_LONG = re.compile(r"C441[0-9][29][12]|QA0[0-9]{4}|[EGHJ-MORTZ].{5}[0-9]")


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

    Raises: ValueError where the form is not ICD-10's; the message does not repeat what was found.
    """
    upper = code.strip().upper()
    compact = upper[:3] + upper[3:].removeprefix(".")
    if upper[3:] != "." and _CATEGORY.fullmatch(compact[:3]) and _may_follow(compact):
        return f"{compact[:3]}.{compact[3:]}" if compact[3:] else compact
    raise ValueError("not the form of an ICD-10 code (letter, two digits, then a dot and up to three digits)")


def _may_follow(compact: str) -> bool:
    """Return whether ICD-10 has such signs after the category. compact: the code in upper case, without its dot."""
    if len(compact) > 7 or (compact[6:].isdigit() and not _LONG.fullmatch(compact)):
        return False
    places = enumerate(compact[3:], 4)
    return all("0" <= sign <= "9" or _LETTERED[place].fullmatch(compact[:place]) for place, sign in places)


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
    three = category(code)
    # Digits sort before letters in ASCII, so O9A falls after O99 and comparing strings is enough.
    return next(number for number, (first, last, _) in CHAPTERS.items() if first <= three <= last)
