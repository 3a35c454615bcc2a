"""Titles of codes: from a file that the user has, or the generator's own wording for the invented corpus."""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from clinfed.corpus import icd10
from clinfed.errors import UserError

Titles = Callable[[str, str], str]  # (code, language of the note) -> title, "" where none is known

EXPECTED = 'JSON {"E11.9": "title"}, a .csv or .tsv with code and title, or the ICD-10-CM order file (.txt)'


def load(path: str | Path) -> dict[str, str]:
    """Return code -> title from a file: JSON, CSV, TSV, or the order file of ICD-10-CM.

    Raises: UserError where the file cannot be read or names no code.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = list(_rows(file.suffix.lower(), text))
    except (OSError, ValueError, AttributeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read ({type(error).__name__}); expected {EXPECTED}") from None
    titles = {
        icd10.normalise(code): " ".join(title.split()) for code, title in rows if icd10.is_code(code) and title.strip()
    }
    if not titles:
        raise UserError(f"{file}: names no ICD-10 code with a title; expected {EXPECTED}")
    return titles


def from_file(path: str | Path) -> Titles:
    """Return the titles of a file, the same for every language."""
    titles = load(path)
    return lambda code, language: titles.get(code, "")


def known(codes: Collection[str]) -> Titles:
    """Return the generator's most usual wording where all codes are the invented corpus's; else no titles."""
    from clinfed.corpus.synthetic.lexicon import diagnoses

    invented = diagnoses()
    if not invented.keys() >= set(codes):
        return lambda code, language: ""

    def title(code: str, language: str) -> str:
        forms = invented[code].forms
        return forms.get(language, forms["es"])[0].text

    return title


def _rows(suffix: str, text: str) -> Iterator[tuple[str, str]]:
    if suffix == ".json":
        content: Mapping[str, str] = json.loads(text)
        yield from ((str(code), str(title)) for code, title in content.items())
    elif suffix in (".csv", ".tsv"):
        for row in csv.reader(text.splitlines(), delimiter="," if suffix == ".csv" else "\t"):
            if len(row) > 1:
                yield row[0], row[1]
    else:  # order number, code, whether it may be billed, short title, long title, at fixed columns
        for line in text.splitlines():
            yield line[6:14].strip(), line[77:] or line[16:77]
