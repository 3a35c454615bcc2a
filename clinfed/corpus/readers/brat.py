"""BRAT: a text file NAME.txt with its annotations NAME.ann; one pair, or all below a folder.

The id is the path below the folder without suffix, with %-escapes undone (`writers.write_brat` escapes what a file name
cannot hold). BRAT has no place for language, patient, clinic and split: an optional metadata.jsonl at the folder's top
has one object a line with the note's id and these; a line that names no note is a fault. Each mention may have several
codes (see `standoff`), each of which gives a span. A file is UTF-8, begins without a byte order mark, and its lines end
in LF: with CR LF nobody could tell whether offsets count one or two, so such a note is refused or skipped. No .ann at
all is a fault, an empty one is not.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from clinfed.corpus import intake, jsonlines, standoff
from clinfed.corpus.files import decode_line, find_files, given_path, read_lines, read_text, visible
from clinfed.corpus.intake import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.corpus.readers.base import FileCorpus

METADATA_FILE = "metadata.jsonl"
PAIRS = "a .txt file with its .ann beside it, or a folder of such pairs"


@dataclass
class Brat(FileCorpus):
    """Notes in BRAT's standoff format; skipped counts what reading left out, merged or ignored."""

    keep_fragments: bool = False  # leave fragments of a mention apart that only white space parts

    def _read(self) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=self.skipped, keep_fragments=self.keep_fragments)


def read(
    path: str | Path,
    *,
    annotated: bool = True,
    skip_bad: bool = False,
    skipped: Counter[str] | None = None,
    keep_fragments: bool = False,
) -> Iterator[Note]:
    """Yield the notes of a pair of files (either's path), or of all pairs below a folder, streaming.

    annotated: False reads the texts alone, whatever stands beside them. keep_fragments: leave fragments of a mention
    apart that only white space parts.
    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts = Counter() if skipped is None else skipped
    candidates = _candidates(given_path(path, PAIRS), counts, annotated, keep_fragments)
    return intake.sift(candidates, skip_bad=skip_bad, skipped=counts)


def _candidates(path: Path, skipped: Counter[str], annotated: bool, keep_fragments: bool) -> Iterator[Candidate]:
    note = partial(_note, keep_fragments=keep_fragments) if annotated else _text
    text_path = path.with_suffix(".txt") if path.suffix == ".ann" and path.is_file() else path
    root, texts = find_files(text_path, ".txt", PAIRS)
    metadata = _Metadata(root / METADATA_FILE)
    ids = {text: unquote(text.relative_to(root).with_suffix("").as_posix()) for text in texts}
    for where in metadata.strays(ids.values()) if path.is_dir() else ():
        yield where, partial(_stray, where)
    for text, id_ in ids.items():
        yield f"{text}:1", partial(note, text, id_, metadata, skipped)
    if annotated and path.is_dir():
        for annotations in sorted(set(visible(root, "**/*.ann")) - {text.with_suffix(".ann") for text in texts}):
            yield f"{annotations}:1", partial(_orphan, f"{annotations}:1")


def _note(file: Path, id_: str, metadata: "_Metadata", skipped: Counter[str], *, keep_fragments: bool) -> Note:
    text = read_text(file)
    intake.check_text(f"{file}:1", text)
    annotations = file.with_suffix(".ann")
    if not annotations.is_file():
        expected = "the same name with .ann, empty where there is no mention"
        raise BadInputError(f"{file}:1", "no annotation file", "the text has no .ann file", expected)
    lines = ((where, decode_line(where, line)) for where, line in read_lines(annotations))
    strange: Counter[str] = Counter()
    spans = standoff.parse(lines, text, strange)
    given = spans if keep_fragments else intake.joined(spans, text, strange)
    note = Note(id_, text, intake.distinct(given, strange), **metadata.of(id_))
    skipped.update(strange)  # only now: a note that is skipped whole counts once
    return note


def _text(file: Path, id_: str, metadata: "_Metadata", skipped: Counter[str]) -> Note:
    return Note(id_, read_text(file), (), **metadata.of(id_))


def _orphan(where: str) -> Note:
    raise BadInputError(where, "annotation without text", "the .ann file has no text", "the same name with .txt")


def _stray(where: str) -> Note:
    expected = "the note's path below the folder, without .txt"
    raise BadInputError(where, "metadata without note", "the line's id names no note", expected)


class _Metadata:
    """Language, patient, clinic and split by note id; a faulty line is raised by the note that needs it.

    Ids are compared composed (NFC): some file systems and archives decompose the names of files.
    """

    def __init__(self, file: Path) -> None:
        self._fields: dict[str, dict[str, str]] = {}
        self._places: dict[str, str] = {}
        self._fault: BadInputError | None = None
        for where, line in read_lines(file) if file.is_file() else ():
            try:
                self._enter(where, jsonlines.parse_object(where, decode_line(where, line)))
            except BadInputError as fault:
                self._fault = self._fault or fault

    def _enter(self, where: str, fields: dict[str, Any]) -> None:
        id_ = _composed(jsonlines.string(where, fields, "id"))
        if not id_ or id_ in self._fields:
            raise BadInputError(where, "broken metadata", "no id, or one that stood before", "one line for each note")
        self._fields[id_] = jsonlines.parse_metadata(where, fields)
        self._places[id_] = where

    def strays(self, ids: Iterable[str]) -> list[str]:
        """Return "file:line" of the lines that name none of the notes."""
        known = {_composed(id_) for id_ in ids}
        return [where for id_, where in self._places.items() if id_ not in known]

    def of(self, id_: str) -> dict[str, str]:
        """Return the note's metadata; a note without any may be the one whose line is faulty, so that is raised."""
        if _composed(id_) not in self._fields and self._fault:
            raise self._fault
        return self._fields.get(_composed(id_), {})


def _composed(id_: str) -> str:
    return unicodedata.normalize("NFC", id_)
