"""What `clinfed predict` wrote of each span beside its code, read again: the code's title and the score.

Readers of notes leave both out, since no task and no score starts from them. Here a line that says neither, or says it
otherwise, says nothing: whoever wants faults named reads the notes first.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from clinfed.corpus import icd10, input_checks, jsonlines
from clinfed.corpus.files import decode_line, find_files, read_lines
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Prediction, Span

Details = dict[tuple[str, Span], Prediction]  # by note id and span

_NORMALISATION = re.compile(r"N\d+\tReference (T\d+) ICD10:(\S+)\t(.*)")
_SCORE = re.compile(r"#\d+\tAnnotatorNotes (T\d+)\tscore ([\d.]+)")


def read(path: Path, kind: str) -> Details:
    """Return what a file or folder of predictions says of its spans. kind: jsonl, brat or codiesp (the table)."""
    found = {"jsonl": _jsonl, "brat": _brat, "codiesp": _codiesp}[kind](path)
    return {(id_, span): prediction for id_, span, prediction in found}


def _jsonl(path: Path) -> Iterator[tuple[str, Span, Prediction]]:
    for file in find_files(path, ".jsonl", "predictions")[1]:
        for where, line in read_lines(file):
            with contextlib.suppress(BadInputError):
                details = jsonlines.predictions(where, decode_line(where, line))
                yield from (each for each in details if input_checks.encodable(each[2].title))


def _codiesp(table: Path) -> Iterator[tuple[str, Span, Prediction]]:
    scored = table.with_suffix(".scored.tsv")
    for where, line in read_lines(scored) if scored.is_file() else ():
        with contextlib.suppress(BadInputError, ValueError):
            id_, _, code, _, offsets, title, score = decode_line(where, line).split("\t")
            span = Span(tuple(input_checks.parse_offsets(where, offsets)), icd10.normalise(code))
            yield id_, span, Prediction(title, float(score))


def _brat(path: Path) -> Iterator[tuple[str, Span, Prediction]]:
    root, files = find_files(path, ".ann", "predictions")
    for file in files:
        id_ = unquote(file.relative_to(root).with_suffix("").as_posix())
        with contextlib.suppress(BadInputError, ValueError):
            lines = [decode_line(where, line) for where, line in read_lines(file)]
            yield from ((id_, span, prediction) for span, prediction in _sheet(lines))


def _sheet(lines: list[str]) -> Iterator[tuple[Span, Prediction]]:
    scores = {match[1]: float(match[2]) for line in lines if (match := _SCORE.fullmatch(line))}
    places = {line.partition("\t")[0]: line for line in lines if line.startswith("T")}
    for line in lines:
        match = _NORMALISATION.fullmatch(line)
        if match and match[1] in scores and match[1] in places:
            code = icd10.normalise(match[2])
            offsets = places[match[1]].split("\t")[1].partition(" ")[2]
            title = "" if match[3] == code else match[3]  # the code stands there where no title is known
            yield Span(tuple(input_checks.parse_offsets("", offsets)), code), Prediction(title, scores[match[1]])


def titles_in(details: Details, languages: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the titles by code and language of the note; language "" has one of each code. languages: by note id."""
    titles: dict[tuple[str, str], str] = {}
    for (id_, span), prediction in details.items():
        if prediction.title:
            titles[span.code, languages.get(id_, "")] = prediction.title
            titles.setdefault((span.code, ""), prediction.title)
    return titles
