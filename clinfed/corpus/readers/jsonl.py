"""JSONL: one note a line, in the schema of docs/formats.md; a file, or all *.jsonl below a folder.

Files are UTF-8. A byte order mark and lines that end in CR LF are read, and counted. A text may hold them too: it is
kept without, and the surfaces of its spans tell whether their offsets count them (see `counting`). A span that brings
its surface is checked against the text.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import input_checks, jsonlines, walking
from clinfed.corpus.files import decode_line, find_files, left_out, read_lines
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.corpus.readers.base import FileCorpus
from clinfed.settings import setting

WHAT = "a JSONL file of notes, or a folder of such files"


@dataclass(frozen=True)
class Jsonl(FileCorpus):
    """Notes in JSONL files."""

    keep_fragments: bool = setting(
        False, help="keep fragments of a mention apart even if only white space separates them"
    )

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped, keep_fragments=self.keep_fragments)


def read(
    path: str | Path,
    *,
    skip_bad: bool = False,
    skipped: Counter[str] | None = None,
    keep_fragments: bool = False,
) -> Iterator[Note]:
    """Yield the notes of a file, or of all *.jsonl files below a folder, streaming.

    keep_fragments: keep fragments of a mention apart even if only white space separates them.
    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts = Counter() if skipped is None else skipped
    return input_checks.checked_notes(_candidates(path, counts, keep_fragments), skip_bad=skip_bad, skipped=counts)


def _candidates(path: str | Path, skipped: Counter[str], keep_fragments: bool) -> Iterator[Candidate]:
    _, files = find_files(path, ".jsonl", WHAT)
    yield from left_out(path, ".jsonl", WHAT, skipped)
    for file in files:
        try:
            yield from _lines(file, skipped, keep_fragments)
        except BadInputError as fault:
            yield walking.refusal(fault)


def _lines(file: Path, skipped: Counter[str], keep_fragments: bool) -> Iterator[Candidate]:
    empty = True
    for where, line in read_lines(file, skipped):
        if line.strip():
            empty = False
            yield where, partial(_note, where, line, skipped, keep_fragments)
    if empty:
        yield f"{file}:1", partial(_nothing, f"{file}:1")


def _note(where: str, line: bytes, skipped: Counter[str], keep_fragments: bool) -> Note:
    return jsonlines.parse(where, decode_line(where, line), skipped, keep_fragments=keep_fragments)


def _nothing(where: str) -> Note:
    raise BadInputError(where, "empty file", "the file is empty", "one note a line")
