"""CoNLL: a token and its tag on each line, a blank line after each block; a file, or all *.conll below a folder.

Columns are separated by tabs (else by blanks, and by no other Unicode space: a token may hold one); the first is the
token, the last its IOB2 tag: O, B-E11.9, I-E11.9, or a label without code (B-FARMACO), which is kept as it is. A first
column of row numbers, or the same on every line, is no token: such a file is refused. A block (a document or a
sentence) is one note. Its text is the tokens with a space between, because the original spacing is lost. Its id is
`path below the folder, without suffix#number` of the block (from 1, counting skipped blocks).

-DOCSTART- lines, and comments that name a document, begin one: its blocks are one patient, so that they stay in one
split. Without such lines each block stands for itself, because nothing says which belong together. Other comments
(`# text = ...`) are counted and passed over. Files are UTF-8; lines may end in CR LF, which is counted.
Overlapping and discontinuous mentions have no place here.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import icd10, input_checks, labels
from clinfed.corpus.files import check_line, decode_line, find_files, left_out, read_lines
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.base import FileCorpus

WHAT = "a CoNLL file of tokens and tags, or a folder of such files"

_Lines = list[tuple[str, bytes]]  # ("file:line", line)

_LOOKED_AT = 8  # blocks: as many show whether the first column is the token
_FEWEST = 2  # lines: one number alone may well be a token
_REPEATED = 2  # lines that say what the line before said, in blocks that say nothing else
_START = re.compile(rb"[ \t]*-+DOCSTART-", re.IGNORECASE)
_COMMENT = re.compile(rb"#\s*(?:[A-Za-z_][\w:.-]*\s*=(?:\s|$)|newdoc\b|newpar\b|(?:begin|end) document\b)")
# A comment that begins a document, or names the one that the next block is of.
_DOCUMENT = re.compile(rb"#\s*(?:newdoc|begin document|doc(?:ument)?_?id\b|patient(?:_?id)?\b)(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class _Block:
    """A block of tokens. document: 0 where no line has said which document it is of, else its number in the file."""

    lines: _Lines
    document: int


@dataclass(frozen=True)
class Conll(FileCorpus):
    """Notes in CoNLL columns."""

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped)


def read(path: str | Path, *, skip_bad: bool = False, skipped: Counter[str] | None = None) -> Iterator[Note]:
    """Yield the notes of a file, or of all *.conll files below a folder, streaming.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts: Counter[str] = Counter() if skipped is None else skipped
    candidates = itertools.chain(left_out(path, ".conll", WHAT, counts), _candidates(path, counts))
    return input_checks.checked_notes(candidates, skip_bad=skip_bad, skipped=counts)


def _candidates(path: str | Path, skipped: Counter[str]) -> Iterator[Candidate]:
    root, files = find_files(path, ".conll", WHAT)
    for file in files:
        fault, number = _other_columns(file), 0
        for number, block in enumerate(_blocks(file, skipped), 1):
            name = f"{file.relative_to(root).with_suffix('').as_posix()}#"
            patient = f"{name}doc{block.document}" if block.document else ""
            where = block.lines[0][0]
            yield where, partial(_refuse, where, fault) if fault else partial(_note, f"{name}{number}", block, patient)
        if not number:
            yield f"{file}:1", partial(_nothing, f"{file}:1")


def _blocks(file: Path, skipped: Counter[str]) -> Iterator[_Block]:
    lines: _Lines = []
    documents = _Documents()
    for where, line in itertools.chain(read_lines(file, skipped), [("", b"")]):
        start, comment = _START.match(line), _COMMENT.match(line)
        if lines and (start or not line.strip() or (comment and _DOCUMENT.match(line))):
            yield _Block(lines, documents.number)
            lines = []
        if start:
            documents.begin()
        elif comment:
            skipped["comment line (passed over)"] += 1
            documents.hear(line)
        elif line.strip():
            lines.append((where, line))


class _Documents:
    """Which document of a file the next block is of. number: from 1; 0 before any line has said it."""

    def __init__(self) -> None:
        self.number, self._last, self._named = 0, 0, dict[bytes, int]()

    def begin(self) -> None:
        """Begin a document."""
        self._last += 1
        self.number = self._last

    def hear(self, comment: bytes) -> None:
        """Begin the document that a comment names, or go on with it; a comment may say it again at each sentence."""
        if (match := _DOCUMENT.match(comment)) is None:
            return
        if (name := match[1].strip(b" \t=")) not in self._named:
            self.begin()
            if name:
                self._named[name] = self.number
        self.number = self._named.get(name, self.number)


def _other_columns(file: Path) -> str:
    """Return what the first column is if it is no token, as in CoNLL-U, .ssv and CoNLL-2012; "" where it may be one."""
    blocks = [block.lines for block in itertools.islice(_blocks(file, Counter()), _LOOKED_AT)]
    rows = [[_parted(line.decode("utf-8", "replace")) for _, line in lines] for lines in blocks]
    columns = [[row[0] for row in block] for block in rows]
    first = [each for column in columns for each in column]
    if len(first) < _FEWEST or min(len(row) for block in rows for row in block) < 3:
        return ""
    if len(set(first)) == 1 and len(first) > _FEWEST:
        return "a first column that says the same on every line"
    # The name of the document; one that says the same of two blocks' lines may still be a word said twice.
    if all(len(set(column)) == 1 for column in columns) and len(first) - len(columns) >= _REPEATED:
        return "a first column that says the same on all lines of a block"
    return "a first column of row numbers or offsets" if all(map(_counts_up, columns)) else ""


def _counts_up(column: list[str]) -> bool:
    """Return whether these are row numbers or offsets. CoNLL-U has ranges (1-2) and empty words (3.1) among them."""
    ranges = [each for each in column if re.fullmatch(r"\d+[-.]\d+", each, re.ASCII)]
    plain = [each for each in column if each not in ranges]
    if not all(each.isascii() and each.isdigit() and len(each) < 9 for each in plain):
        return False
    # WebAnno has nothing but sentence-token pairs.
    return all(int(one) < int(next_) for one, next_ in itertools.pairwise(plain)) and (bool(plain) or len(ranges) > 1)


def _note(id_: str, block: _Block, patient: str) -> Note:
    tokens, spans = [], []
    position, open_ = 0, ""  # where the next token starts; the code whose mention the token before belongs to
    for where, line in block.lines:
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
    return Note(id_, " ".join(tokens), tuple(spans), patient=patient)


def _columns(where: str, line: str) -> tuple[str, str]:
    """Return the line's first and last column."""
    check_line(where, line)
    columns = _parted(line)
    if len(columns) < 2 or not columns[0].strip(" "):
        raise BadInputError(where, "broken row", "a line without token or tag", "token, tab, tag")
    return columns[0], columns[-1]


def _parted(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else [column for column in line.split(" ") if column]


def _tag(where: str, tag: str) -> tuple[str, str]:
    """Return prefix (O, B or I) and code, "" for O."""
    if tag == "O":
        return "O", ""
    prefix, dash, code = tag.partition("-")
    if prefix in ("B", "I") and dash:
        input_checks.check_terminology(where, code)
        if icd10.is_code(code):
            return prefix, icd10.normalise(code)
        if labels.is_label(code):
            return prefix, code
    raise BadInputError(where, "broken tag", "a tag that is not IOB2 with a code or label", "O, B-E11.9 or I-E11.9")


def _refuse(where: str, found: str) -> Note:
    raise BadInputError(where, "other columns", found, "the token in the first column: remove what stands before it")


def _nothing(where: str) -> Note:
    raise BadInputError(where, "empty file", "the file is empty", "a token and a tag on each line")
