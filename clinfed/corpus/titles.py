"""Titles of codes: from a file that the user has, or the generator's own wording for the invented corpus."""

import csv
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from clinfed.corpus import icd10, strict_json
from clinfed.corpus.input_checks import encodable
from clinfed.errors import UserError

Titles = Callable[[str, str], str]  # (code, language of the note) -> title, "" where none is known

EXPECTED = 'JSON {"E11.9": "title"}, a .csv or .tsv with code and title, or the ICD-10-CM order file (.txt)'

_WORD = re.compile(r"[^\W\d_]{2}")  # letters of any script
_NO_TITLE = ("none", "null", "nan", "na", "n/a", "true", "false")  # what programs write where they have no title


def load(path: str | Path) -> dict[str, str]:
    """Return code -> title from a file: JSON, CSV, TSV, or the order file of ICD-10-CM.

    Raises: UserError where the file cannot be read, names no code, or has something else where a title should stand.
    """
    file = Path(path)
    titles: dict[str, str] = {}
    try:
        for place, code, title in _rows(file, file.read_text(encoding="utf-8-sig")):
            if icd10.is_code(code) and title:
                known = titles.setdefault(icd10.normalise(code), checked := _checked(place, title))
                if known != checked:
                    raise UserError(f"{place}: a second title of a code; expected one of each; remove the other")
    except strict_json.RepeatedKeyError:
        raise UserError(f"{file}: a code is listed twice; expected each once; remove the repetition") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({type(error).__name__}); expected {EXPECTED}") from None
    if len(titles) > 1 and len(set(titles.values())) == 1:
        raise UserError(f"{file}: all codes have the same title; expected {EXPECTED}; leave out the columns between")
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


def _rows(file: Path, text: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the place ("file:line" or "file: entry number"), code and what stands where its title should."""
    suffix = file.suffix.lower()
    if suffix == ".json":
        content = strict_json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no object")
        for number, (code, title) in enumerate(content.items(), 1):
            yield f"{file}: entry {number}", code, title
        return
    # Lines end in LF or CR LF: str.splitlines would part at U+2028 and the like, which titles may hold.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if suffix == ".csv":
        yield from _of_csv(file, lines)
    for number, line in enumerate(lines if suffix != ".csv" else (), 1):
        if suffix == ".tsv":  # without quoting: a quotation mark is part of the title
            code, _, rest = line.partition("\t")
            title = rest.partition("\t")[0]
        else:  # order number, code, whether it may be billed, short title, long title, at fixed columns
            code, title = line[6:14], line[77:] or line[16:77]
        yield f"{file}:{number}", code.strip(), title.strip()


def _of_csv(file: Path, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the rows' places, codes and titles. Raises: UserError, as for a title with a comma and without quotes."""
    table = csv.reader((f"{line}\n" for line in lines), strict=True)
    columns = 0
    try:
        for row in table:
            columns = columns or len(row)
            if row and len(row) != columns:
                found = f"{len(row)} columns after {columns}, as where a title with a comma has no quotes"
                raise UserError(f"{file}:{table.line_num}: {found}; expected {EXPECTED}")
            if len(row) > 1:
                yield f"{file}:{table.line_num}", row[0], row[1].strip(" ")
    except csv.Error:
        raise UserError(f"{file}:{table.line_num}: quotes that do not match; expected {EXPECTED}") from None


def _checked(where: str, title: object) -> str:
    """Return the title with single blanks, or raise UserError for what is none, as in a file of other columns."""
    if not isinstance(title, str):
        raise UserError(f"{where}: a title that is not a string; expected {EXPECTED}")
    if "\n" in title:
        raise UserError(f"{where}: a title with a line end in it, as after an unclosed quote; expected {EXPECTED}")
    if not encodable(title):
        raise UserError(f"{where}: a title with half a surrogate pair; expected text that UTF-8 can hold")
    if not _WORD.search(title) or icd10.is_code(title) or title.strip().lower() in _NO_TITLE:
        raise UserError(f"{where}: a number, a code or no word stands where the title should; expected {EXPECTED}")
    return " ".join(title.split())
