"""A table of mentions for spreadsheets: one row a mention, without the words of notes unless asked for."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from clinfed.corpus import jsonlines
from clinfed.corpus.note import PredictedNote
from clinfed.corpus.writers import appearing, single

COLUMNS = ("note", "start", "end", "code", "title", "score")
FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes a cell that begins so
BREAKS = str.maketrans(dict.fromkeys("\t\r\n", " "))


def write_csv(notes: Iterable[PredictedNote], path: str | Path, *, with_text: bool = False) -> None:
    """Write COLUMNS, and after `end` a column `text` where asked for. Units: start and end in characters, half-open.

    Raises: UserError for a mention of several parts, which two numbers cannot say.
    """
    target = Path(path)
    with appearing(target) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*COLUMNS[:3], *(["text"] if with_text else []), *COLUMNS[3:]])
        for note in notes:
            table.writerows(_rows(target, note, with_text=with_text))


def _rows(target: Path, note: PredictedNote, *, with_text: bool) -> Iterator[list[str | int]]:
    for span, prediction in zip(note.spans, note.predictions, strict=True):
        start, end = single(target, span)
        words = [inert(note.text[start:end])] if with_text else []
        score = f"{prediction.score:.{jsonlines.SCORE_DIGITS}f}"
        yield [inert(note.id), start, end, *words, inert(span.code), inert(prediction.title), score]


def inert(text: str) -> str:
    """Return a cell of one line that no spreadsheet computes: an apostrophe goes before what could begin a formula."""
    line = text.translate(BREAKS)
    return f"'{line}" if line.lstrip().startswith(FORMULA) else line
