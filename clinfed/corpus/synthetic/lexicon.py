"""What the generator knows: diagnoses, their forms and modifiers, clinics; read once from the .json files beside."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("ca", "es")
GENDERS = ("m", "f", "mp", "fp")  # masculine, feminine, and their plurals: the order of a modifier's four endings


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a diagnosis, with the gender that its modifiers agree with."""

    text: str
    gender: str

    @property
    def is_abbreviation(self) -> bool:
        """Return whether it is written in capitals ("HTA", "DM2", "ACxFA"), so that its case is kept."""
        return sum(letter.isupper() for letter in self.text.split()[0]) >= 2


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One code, how often it is drawn, and all that may be written for it.

    weight: relative frequency. kind: "chronic", "acute" or "history". sex: "m", "f" or "" for both.
    modifiers: names of the lists in modifiers.json that go with it. forms: language -> its forms, most usual first.
    """

    code: str
    weight: float
    kind: str
    sex: str
    modifiers: tuple[str, ...]
    forms: dict[str, tuple[Form, ...]]


@dataclass(frozen=True, slots=True)
class Clinic:
    """One invented health centre and its habits; rates and shares are in [0, 1], the others multiply 1.0.

    shortness: weight of abbreviated forms. chapters: first letter of a code -> multiplier. readings: what it means by
    an ambiguous abbreviation -> code.
    """

    name: str
    weight: float
    catalan: float
    shortness: float
    abbreviate: float
    abbreviations: tuple[str, ...]
    headings: tuple[str, ...]
    heading_rate: float
    capitals: float
    lowercase: float
    lines: float
    noise: float
    chapters: dict[str, float]
    readings: dict[str, str]


def read_table(name: str) -> Any:
    """Return the content of one of the .json files."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


@cache
def diagnoses() -> dict[str, Diagnosis]:
    """Return all diagnoses by code, sorted."""
    return {
        code: Diagnosis(
            code=code,
            weight=row["weight"],
            kind=row["kind"],
            sex=row["sex"],
            modifiers=tuple(row["modifiers"]),
            forms={language: tuple(Form(*form) for form in row[language]) for language in LANGUAGES},
        )
        for code, row in sorted(read_table("diagnoses").items())
    }


@cache
def clinics() -> dict[str, Clinic]:
    """Return the clinics by name, sorted."""
    table: dict[str, dict[str, Any]] = read_table("clinics")["clinics"]
    for row in table.values():
        row |= {"abbreviations": tuple(row["abbreviations"]), "headings": tuple(row["headings"])}
    return {name: Clinic(name=name, **row) for name, row in sorted(table.items())}


@cache
def reading_cues() -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return what may follow an ambiguous abbreviation: abbreviation -> code -> language -> text with slots."""
    cues: dict[str, dict[str, dict[str, list[str]]]] = read_table("clinics")["readings"]
    return cues


@cache
def modifiers() -> dict[str, dict[str, tuple[tuple[str, ...], ...]]]:
    """Return list name -> language -> modifiers, each as its four endings in the order of GENDERS."""
    return {
        name: {language: tuple(_endings(text) for text in texts) for language, texts in by_language.items()}
        for name, by_language in read_table("modifiers").items()
    }


def _endings(text: str) -> tuple[str, ...]:
    parts = tuple(text.split("/"))
    return parts if len(parts) == len(GENDERS) else (text,) * len(GENDERS)


@cache
def abbreviations() -> dict[str, dict[str, str]]:
    """Return language -> whole word -> its abbreviation, over all clinics."""
    table: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for short, by_language in read_table("abbreviations").items():
        for language, words in by_language.items():
            table[language].update(dict.fromkeys(words, short))
    return table
