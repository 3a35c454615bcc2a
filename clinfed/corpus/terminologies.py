"""Terminologies by name and by form: ICD-10 under all its names, and others whose codes could pass for its own.

One list of names serves all places where a name may stand: normalisations, attributes and notes.
"""

import re

from clinfed.corpus import icd10

ICD10 = "ICD-10"
ELSEWHERE = "code of another terminology"  # what is counted, followed by the name where it is known

_ICD = r"(?:icd|cie|cim|cid)[-–_. ]?"
# National ones, whose codes are ICD-10's. After a blank, the second ones may be words ("ICD-10 at E11.9").
_EDITIONS = r"[-_ ]?(?:cm|who|oms|gm|ca|am|es|mc|fr|nl|br|se)|[-_]?(?:ar|at|be|cat|ch|cl|co|da|dk|fi|it|mx|pt|th|tm|uk)"
_REST = r"(?:[-_ ]?(?:codes?|c[oó]digo|codi|diag))?(?:[-_/ ]?(?:fy)?(?:19|20)\d\d)?"
NAMES = {  # ICD-10 last: its name begins others
    "ICD-10-PCS": rf"(?:{_ICD}10[-_ ]?)?pcs",
    "ICD-9": rf"{_ICD}9(?:[-_ ]?(?:cm|mc|es))?",
    "ICD-11": rf"{_ICD}11(?:[-_ ]?mms)?",
    "ICD-O": rf"{_ICD}o(?:[-_ ]?[1-4](?:\.\d)?)?",
    "SNOMED CT": r"snomed(?:[-_ ]?(?:ct|rt))?(?:[-_][a-z]{2})?|sct(?:id)?",
    "UMLS": r"umls(?:[-_ ]?cui)?|cui",
    "MeSH": "mesh|msh",
    "DeCS": "decs",
    "ATC": "atc",
    "HPO": "hpo?",
    "ICPC": r"icpc(?:[-_ ]?[123])?|ciap(?:[-_ ]?[123])?",
    "LOINC": "loinc",
    "MedDRA": "meddra",
    "NCIt": "ncit?",
    "OMIM": "o?mim",
    "Orphanet": r"orpha(?:net|code)?",
    "RxNorm": "rxnorm",
    ICD10: rf"{_ICD}10(?:{_EDITIONS})?{_REST}|icd|cie|cim",
}
_SYSTEM = re.compile(r"[A-Za-z][A-Za-z_-]{1,19}")  # without digits: neither a code nor a number of somebody
# T and three digits, no dot: a semantic type. The ICD-10 codes of these categories need their dot.
_SEMANTIC_TYPE = re.compile(r"T(?:[01]\d\d|20[0-4])")
_FORMS = {
    "UMLS": re.compile(r"C\d{7}"),
    "MeSH": re.compile(r"[CD](?:\d{6}|\d{9})"),
    "ICD-O": re.compile(r"M?-?\d{4}/\d\d?"),
    # Seven signs without I and O; the first is the section, and the letters among sections begin so.
    "ICD-10-PCS": re.compile(r"(?=[A-Z]*\d)(?=\d*[A-Z])(?:\d|[BCD](?=.\d|.Y)|F(?=[01])|[GH](?=Z)|X)[\dA-HJ-NP-Z]{6}"),
}


def named(name: str) -> str:
    """Return the terminology that a name stands for, a key of NAMES; "" where it is none that is known."""
    return next((known for known, forms in NAMES.items() if re.fullmatch(forms, name.strip(), re.IGNORECASE)), "")


def formed(code: str) -> str:
    """Return the other terminology that has codes of this form, or whose name stands before the code and a colon.

    It is a key of NAMES; "" where the code may be one of ICD-10.
    """
    before, colon, _ = code.partition(":")
    if colon and (name := named(before)) != ICD10:
        return name
    upper = code.strip().upper()
    if _SEMANTIC_TYPE.fullmatch(upper):
        return "UMLS"
    if icd10.is_code(upper):
        return ""
    return next((known for known, form in _FORMS.items() if form.fullmatch(upper)), "")


def shown(name: str) -> str:
    """Return the terminology that a name stands for, or the name itself; "" where it does not look like one."""
    return named(name) or (name if _SYSTEM.fullmatch(name) else "")


def counted(name: str) -> str:
    """Return under which words the code of another terminology is counted. name: "" where it is not known."""
    return f"{ELSEWHERE} ({name})" if name else ELSEWHERE
