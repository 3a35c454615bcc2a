"""doccano's export of sequence labelling: one JSON object a line; a file, or all *.jsonl below a folder.

See clinfed/corpus/doccano.py for the form.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import doccano, input_checks, walking
from clinfed.corpus.files import decode_line, find_files, left_out, read_lines
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.corpus.readers.base import FileCorpus

WHAT = "a JSONL file that doccano has exported, or a folder of such files"


@dataclass(frozen=True)
class Doccano(FileCorpus):
    """Notes in doccano's JSONL files."""

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped)


def read(path: str | Path, *, skip_bad: bool = False, skipped: Counter[str] | None = None) -> Iterator[Note]:
    """Yield the notes of a file, or of all *.jsonl files below a folder, streaming.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts = Counter() if skipped is None else skipped
    return input_checks.checked_notes(_candidates(path, counts), skip_bad=skip_bad, skipped=counts)


def _candidates(path: str | Path, skipped: Counter[str]) -> Iterator[Candidate]:
    _, files = find_files(path, ".jsonl", WHAT)
    yield from left_out(path, ".jsonl", WHAT, skipped)
    for file in files:
        try:
            for where, line in read_lines(file, skipped):
                if line.strip():
                    yield where, partial(_note, where, line, skipped)
        except BadInputError as fault:
            yield walking.refusal(fault)


def _note(where: str, line: bytes, skipped: Counter[str]) -> Note:
    return doccano.parse(where, decode_line(where, line), skipped)
