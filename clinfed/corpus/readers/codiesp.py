"""CodiEsp (eHealth CLEF 2020): Spanish clinical cases, text files beside one table of mentions.

Layout: a folder with train/ and dev/, or one such folder; each holds text_files/ID.txt and {name}X.tsv, whose columns
are document id, DIAGNOSTICO or PROCEDIMIENTO, code, surface text and "start end[;start end...]" in characters.
The official split: train is "train" (splits.py gives 10% of it to validation), dev is "test", and so is a folder test/
that is named itself. Procedures are not read: they carry procedure codes. Line ends are LF and files begin without a
byte order mark: CR LF would leave open what the offsets count, so such a note is refused or skipped.

Source: Miranda-Escalada et al. 2020, Overview of automatic clinical coding, CLEF eHealth (CodiEsp).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import intake, labels
from clinfed.corpus.files import decode_line, given_path, read_lines, read_text, visible
from clinfed.corpus.intake import BadInputError, Candidate
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.base import FileCorpus
from clinfed.errors import UserError

LAYOUT = "CodiEsp's folder with train/ and dev/, each with text_files/ and a table that ends in X.tsv"
PUBLISHED = re.compile(r"S\d{4}-\d{3}[\dX]\d{13}-\d+")  # ids: the article in SciELO, and the case in it
OFFICIAL = {"train": "train", "dev": "test", "test": "test"}

# (file:line, the row or the fault found in it), by document.
_Rows = dict[str, list[tuple[str, "_Row | BadInputError"]]]


@dataclass
class Codiesp(FileCorpus):
    """CodiEsp's diagnoses; skipped counts what reading left out, merged or found strange."""

    def _read(self) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=self.skipped)

    def is_public(self, notes: Iterable[Note]) -> bool:
        """Return whether these are the published cases: a hospital may keep notes of its own in the same layout."""
        return all(PUBLISHED.fullmatch(note.id) for note in notes)

    def codes(self) -> list[str]:
        """Return the sorted diagnosis codes of the published training annotations, or those of the labels file."""
        if self.labels:
            return labels.load(self.labels)
        return _training_codes(given_path(self.path, LAYOUT), skip_bad=self.skip_bad)


@dataclass(frozen=True)
class _Row:
    code: str
    surface: str
    offsets: str


def read(path: str | Path, *, skip_bad: bool = False, skipped: Counter[str] | None = None) -> Iterator[Note]:
    """Yield the notes of CodiEsp's folder, or of one split's.

    Raises: UserError for a wrong folder; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts = Counter() if skipped is None else skipped
    root = given_path(path, LAYOUT)
    folders = [root / name for name in ("train", "dev") if (root / name).is_dir()] or [root]
    candidates = (candidate for folder in folders for candidate in _candidates(folder, counts))
    return intake.sift(candidates, skip_bad=skip_bad, skipped=counts)


def _training_codes(root: Path, *, skip_bad: bool) -> list[str]:
    """Return the sorted codes of the train folder: the root's, the root itself, or the one beside it."""
    places = [place for place in (root / "train", root, root.parent / "train") if place.name == "train"]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(f"{root}: no folder train/ to take codes from; expected {LAYOUT}; or pass corpus.labels")
    rows = [row for document in _read_table(_table(folder), Counter()).values() for _, row in document]
    faults = [row for row in rows if isinstance(row, BadInputError)]
    if faults and not skip_bad:
        raise faults[0]
    return sorted({row.code for row in rows if isinstance(row, _Row)})


def _table(folder: Path) -> Path:
    """Return the folder's table of mentions, or raise UserError."""
    tables = sorted(visible(folder, "*X.tsv")) if (folder / "text_files").is_dir() else []
    if len(tables) != 1 or tables[0].name.removesuffix("X.tsv") not in OFFICIAL:
        raise UserError(f"{folder}: not a folder of CodiEsp; expected {LAYOUT}; correct corpus.path")
    return tables[0]


def _candidates(folder: Path, skipped: Counter[str]) -> Iterator[Candidate]:
    table = _table(folder)
    split = OFFICIAL[table.name.removesuffix("X.tsv")]
    rows = _read_table(table, skipped)
    for file in sorted(visible(folder / "text_files", "*.txt")):
        mentions = rows.pop(file.stem, [])
        yield f"{file}:1", partial(_note, file, mentions, split, skipped)
    for mentions in rows.values():  # documents of the table whose text is missing
        yield mentions[0][0], partial(_orphan, mentions)


def _read_table(table: Path, skipped: Counter[str]) -> _Rows:
    """Return the diagnoses of the table by document; a faulty row stands there as its fault."""
    rows: _Rows = defaultdict(list)
    for where, line in read_lines(table):
        # The id, so that a faulty row spoils its own document only.
        document = line.split(b"\t")[0].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        try:
            row = _row(where, decode_line(where, line))
        except BadInputError as fault:
            rows[document].append((where, fault))
            continue
        if row is None:
            skipped["procedure"] += 1
        else:
            rows[document].append((where, row))
    return rows


def _row(where: str, line: str) -> _Row | None:
    """Return the row of a diagnosis, None for a procedure's."""
    fields = line.split("\t", 3)
    if len(fields) == 4 and fields[1] == "PROCEDIMIENTO":
        return None
    last = fields[-1].rsplit("\t", 1)  # from the right: a surface text may hold a tab
    if len(fields) != 4 or len(last) != 2 or fields[1] != "DIAGNOSTICO":
        expected = "id, DIAGNOSTICO or PROCEDIMIENTO, code, surface and offsets, separated by tabs"
        raise BadInputError(where, "broken row", "a row that is not CodiEsp's", expected)
    return _Row(intake.checked_code(where, fields[2]), surface=last[0], offsets=last[1])


def _note(file: Path, mentions: list[tuple[str, _Row | BadInputError]], split: str, skipped: Counter[str]) -> Note:
    text = read_text(file)
    intake.check_text(f"{file}:1", text)
    strange: Counter[str] = Counter()
    spans = []
    for where, row in mentions:
        if isinstance(row, BadInputError):
            raise row
        spans.append(_span(where, row, text, strange))
    note = Note(file.stem, text, intake.distinct(spans, strange), language="es", split=split)
    skipped.update(strange)  # only now: a note that is skipped whole counts once
    return note


def _span(where: str, row: _Row, text: str, strange: Counter[str]) -> Span:
    written = intake.parse_offsets(where, row.offsets)
    fragments = [(start, end) for start, end in written if start != end]
    if len(fragments) < len(written):  # the annotation tool left a few, beside real ones; they hold no character
        strange["empty fragment (dropped)"] += 1
    checked = intake.checked_fragments(where, fragments, len(text))
    if " ".join(text[start:end] for start, end in written) != row.surface:
        strange["surface differs from the text (kept)"] += 1  # the offsets are what the task defines
    return Span(checked, row.code)


def _orphan(mentions: list[tuple[str, _Row | BadInputError]]) -> Note:
    """Raise the fault of a document of the table that has no text."""
    where, row = mentions[0]
    if isinstance(row, BadInputError):
        raise row
    raise BadInputError(
        where, "annotation without text", "the row's document has no text", "text_files/ID.txt for each id"
    )
