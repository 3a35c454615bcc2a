"""CoNLL: a token and its tag on each line, a blank line after each block; a file, or all *.conll below a folder.

Columns are separated by tabs (else by blanks); the first is the token, the last its IOB2 tag: O, B-E11.9, I-E11.9, or a
label without code (B-FARMACO), which is kept as it is. A block, document or sentence, is one note; its text is the
tokens with a space between, as the original spacing is lost, and its id `path below the folder, without suffix#number`
of the block (from 1, also where blocks are skipped). -DOCSTART- lines are passed over. Files are UTF-8; lines may
end in CR LF, which is counted. Overlapping and discontinuous mentions have no place here.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import icd10, intake, labels
from clinfed.corpus.files import decode_line, find_files, left_out, read_lines
from clinfed.corpus.intake import BadInputError, Candidate
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.base import FileCorpus

WHAT = "a CoNLL file of tokens and tags, or a folder of such files"

_Block = list[tuple[str, bytes]]  # ("file:line", line)


@dataclass
class Conll(FileCorpus):
    """Notes in CoNLL columns; skipped counts what reading left out."""

    def _read(self) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=self.skipped)


def read(path: str | Path, *, skip_bad: bool = False, skipped: Counter[str] | None = None) -> Iterator[Note]:
    """Yield the notes of a file, or of all *.conll files below a folder, streaming.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts: Counter[str] = Counter() if skipped is None else skipped
    candidates = itertools.chain(left_out(path, ".conll", WHAT, counts), _candidates(path, counts))
    return intake.sift(candidates, skip_bad=skip_bad, skipped=counts)


def _candidates(path: str | Path, skipped: Counter[str]) -> Iterator[Candidate]:
    root, files = find_files(path, ".conll", WHAT)
    for file in files:
        number = 0
        for number, block in enumerate(_blocks(file, skipped), 1):
            id_ = f"{file.relative_to(root).with_suffix('').as_posix()}#{number}"
            yield block[0][0], partial(_note, id_, block)
        if not number:
            yield f"{file}:1", partial(_nothing, f"{file}:1")


def _blocks(file: Path, skipped: Counter[str]) -> Iterator[_Block]:
    block: _Block = []
    for where, line in read_lines(file, skipped):
        if line.strip():
            if not line.startswith(b"-DOCSTART-"):
                block.append((where, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _note(id_: str, block: _Block) -> Note:
    tokens, spans = [], []
    position, open_ = 0, ""  # where the next token starts; the code whose mention the token before belongs to
    for where, line in block:
        token, tag = _columns(where, decode_line(where, line))
        prefix, code = _tag(where, tag)
        if prefix == "B":
            spans.append(Span(((position, position + len(token)),), code))
        elif prefix == "I":
            if code != open_:
                expected = "a B- tag, or a tag of the same code, on the line before"
                raise BadInputError(where, "broken tags", "an I- tag that continues no mention", expected)
            spans[-1] = Span(((spans[-1].start, position + len(token)),), code)
        open_ = code
        tokens.append(token)
        position += len(token) + 1
    return Note(id_, " ".join(tokens), tuple(spans))


def _columns(where: str, line: str) -> tuple[str, str]:
    """Return the line's first and last column."""
    columns = line.split("\t") if "\t" in line else line.split()
    if len(columns) < 2 or not columns[0].strip():
        raise BadInputError(where, "broken row", "a line without token or tag", "token, tab, tag")
    return columns[0], columns[-1]


def _tag(where: str, tag: str) -> tuple[str, str]:
    """Return prefix (O, B or I) and code, "" for O."""
    if tag == "O":
        return "O", ""
    prefix, dash, code = tag.partition("-")
    if prefix in ("B", "I") and dash:
        intake.check_terminology(where, code)
        if icd10.is_code(code):
            return prefix, icd10.normalise(code)
        if labels.is_label(code):
            return prefix, code
    raise BadInputError(where, "broken tag", "a tag that is not IOB2 with a code or label", "O, B-E11.9 or I-E11.9")


def _nothing(where: str) -> Note:
    raise BadInputError(where, "empty file", "the file is empty", "a token and a tag on each line")
