"""CodiEsp (eHealth CLEF 2020): Spanish clinical cases, text files beside one table of mentions.

Layout: a folder with train/, dev/ and test/, or one such folder; each holds text_files/ID.txt and {name}X.tsv, whose
columns are document id, DIAGNOSTICO or PROCEDIMIENTO, code, surface text and "start end[;start end...]" in characters.
The official split, where all three are there: all of train is trained, dev chooses, test is evaluated once. Without
test/, dev is a development set: it is what is evaluated, and 10% of train is validation (splits.py). A published id is
the article and the number of the case in it; cases of one article are one unit, also where train holds one of them and
dev another. Procedures are not read: they carry procedure codes. Parts and files that are not read are counted
by name. A table most of whose surfaces are not what stands at the offsets is refused, with the unit that they seem to
count; a few that differ are kept, since the offsets are what the task defines. The surfaces also tell whether offsets
count CR LF as two and a byte order mark (see `counting`).

Source: Miranda-Escalada et al. 2020, Overview of automatic clinical coding, CLEF eHealth (CodiEsp).
"""

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinfed.corpus import counting, input_checks, labels, walking
from clinfed.corpus.counting import Mention
from clinfed.corpus.files import check_line, decode_line, given_path, read_lines, read_text
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers.base import FileCorpus
from clinfed.corpus.source import DEVELOPMENT, TEST
from clinfed.corpus.splits import WHOLE_TRAIN
from clinfed.errors import UserError, printable

LAYOUT = "CodiEsp's folder with train/, dev/ and test/, each with text_files/ and a table that ends in X.tsv"
PUBLISHED = re.compile(r"(S\d{4}-\d{3}[\dX]\d{13})-\d+")  # ids: the article in SciELO, and the case in it
PARTS = ("train", "dev", "test")
UNREAD = ("test", "background")  # further parts of the published corpus; test/ where it has no table
ENGLISH = "text_files_en"

_TABLE = re.compile(r"(.*)X\.tsv", re.IGNORECASE)
_OTHER_TABLE = re.compile(r"(train|dev|test)[DP]\.tsv", re.IGNORECASE)

# (file:line, the row or the fault found in it), by document.
_Document = list[tuple[str, "_Row | BadInputError"]]
_Rows = dict[str, _Document]


@dataclass(frozen=True)
class Codiesp(FileCorpus):
    """CodiEsp's diagnoses."""

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped)

    def is_public(self, notes: Iterable[Note]) -> bool:
        """Return whether these are the published cases: a hospital may keep notes of its own in the same layout."""
        return all(PUBLISHED.fullmatch(note.id) for note in notes)

    @property
    def evaluated(self) -> str:
        """Return what is evaluated: the test part, or dev, which has been looked at too often to be called a test."""
        root = Path(self.path)
        dev = root.name == "dev" or (is_layout(root / "dev") and not is_layout(root / "test"))
        return DEVELOPMENT if self.path and dev else TEST

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
    counts: Counter[str] = Counter() if skipped is None else skipped
    return input_checks.checked_notes(_candidates(given_path(path, LAYOUT), counts), skip_bad=skip_bad, skipped=counts)


def is_layout(folder: Path) -> bool:
    """Return whether the folder looks like one of CodiEsp's splits."""
    return os.path.isdir(folder / "text_files") and bool(_tables(folder))


def count(root: Path) -> int:
    """Return how many texts will be read."""
    folders = [folder / "text_files" for folder in _parts(root)]
    return sum(len(walking.listing(folder).of(".txt")) for folder in folders if os.path.isdir(folder))


def _parts(root: Path) -> list[Path]:
    there = [root / name for name in ("train", "dev") if os.path.isdir(root / name)]
    return ([*there, root / "test"] if is_layout(root / "test") else there) or [root]


def _splits(parts: Iterable[Path]) -> dict[str, str]:
    """Return the split of each part's notes: dev chooses where there is a test, and is evaluated where there is none.

    parts: the folders that are read.
    """
    names = {part.name for part in parts}
    dev = "validation" if "test" in names else "test"
    return {"train": WHOLE_TRAIN if names == set(PARTS) else "train", "dev": dev, "test": "test"}


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
    tables = _tables(folder)
    if len(tables) != 1 or _split(tables[0]) not in PARTS or not os.path.isdir(folder / "text_files"):
        raise UserError(f"{folder}: not a folder of CodiEsp; expected {LAYOUT}; correct corpus.path")
    return tables[0]


def _tables(folder: Path) -> list[Path]:
    if not os.path.isdir(folder):
        return []
    try:
        return sorted(each for each in folder.iterdir() if _TABLE.fullmatch(each.name) and each.name[0] != ".")
    except OSError as error:
        found = f"{printable(str(folder))}: cannot be read ({type(error).__name__})"
        raise UserError(f"{found}; expected a folder that you may read; change its permissions") from None


def _split(table: Path) -> str:
    match = _TABLE.fullmatch(table.name)
    return match[1].lower() if match else ""


def _candidates(root: Path, skipped: Counter[str]) -> Iterator[Candidate]:
    tables = [_table(folder) for folder in _parts(root)]
    texts = {table: walking.listing(table.parent / "text_files") for table in tables}
    splits = _splits(table.parent for table in tables)
    yield from _left_out(root, tables, list(texts.values()), skipped)
    for table, found in texts.items():
        yield from _of_table(table, found.of(".txt"), splits[_split(table)], skipped)


def _left_out(
    root: Path, tables: Sequence[Path], texts: Sequence[walking.Listing], skipped: Counter[str]
) -> Iterator[Candidate]:
    """Count what is not read, by name; yield the faults of what may not be passed over."""
    whole = walking.listing(root)
    unread = set(UNREAD) - {table.parent.name for table in tables}
    known = {*tables, *(file for found in texts for file in found.files)}
    told = {str(fault) for found in texts for fault in found.faults}
    rest = walking.Listing(root, faults=[fault for fault in whole.faults if str(fault) not in told])
    rest.counts = whole.counts
    for found in texts:
        yield from walking.passed_over(found, (".txt",), skipped, by_patient=False)
        rest.counts = rest.counts - found.counts
    for file in whole.files:
        parts = file.relative_to(root).parts
        if file in known:
            continue
        if len(parts) > 1 and parts[0] in unread:
            skipped[f"file of CodiEsp's {parts[0]}/ (not read)"] += 1
        elif ENGLISH in parts[:-1]:
            skipped[f"file of CodiEsp's {ENGLISH}/ (not read)"] += 1
        elif _OTHER_TABLE.fullmatch(file.name):
            skipped["CodiEsp's table of codes without offsets (*D.tsv, *P.tsv, not read)"] += 1
        else:
            rest.files.append(file)
    yield from walking.passed_over(rest, (), skipped, by_patient=False)


def _of_table(table: Path, texts: Sequence[Path], split: str, skipped: Counter[str]) -> Iterator[Candidate]:
    rows = _read_table(table, skipped)
    verdict = counting.verdict(_documents(texts, rows))
    for file in texts:
        if file.stem not in rows:
            skipped["text without a row in the table (kept, without mentions)"] += 1
        document = rows.pop(file.stem, [])
        yield f"{file}:1", partial(_note, file, document, split, verdict, skipped)
    for document in filter(None, rows.values()):  # documents of the table whose text is missing
        yield document[0][0], partial(_orphan, document)


def _read_table(table: Path, skipped: Counter[str]) -> _Rows:
    """Return the diagnoses of the table by document; a faulty row stands there as its fault."""
    rows: _Rows = defaultdict(list)
    for where, line in read_lines(table, skipped):
        # The id, so that a faulty row spoils its own document only.
        document = line.split(b"\t")[0].decode("utf-8", "replace")
        try:
            row = _row(where, decode_line(where, line))
        except BadInputError as fault:
            rows[document].append((where, fault))
            continue
        found = rows[document]
        if row is None:
            skipped["procedure"] += 1
        else:
            found.append((where, row))
    return rows


def _row(where: str, line: str) -> _Row | None:
    """Return the row of a diagnosis, None for a procedure's."""
    check_line(where, line)
    fields = line.split("\t", 3)
    if len(fields) == 4 and fields[1] == "PROCEDIMIENTO":
        return None
    last = fields[-1].rsplit("\t", 1)  # from the right: a surface text may hold a tab
    if len(fields) != 4 or len(last) != 2 or fields[1] != "DIAGNOSTICO":
        expected = "id, DIAGNOSTICO or PROCEDIMIENTO, code, surface and offsets, separated by tabs"
        raise BadInputError(where, "broken row", "a row that is not CodiEsp's", expected)
    return _Row(input_checks.checked_code(where, fields[2]), surface=last[0], offsets=last[1])


def _mentions(document: _Document) -> list[Mention]:
    """Return offsets and surfaces of a document's rows, but of the faulty ones."""
    found = []
    for where, row in document:
        if isinstance(row, _Row):
            with contextlib.suppress(BadInputError):
                found.append(Mention(tuple(input_checks.parse_offsets(where, row.offsets)), row.surface))
    return found


def _documents(texts: Sequence[Path], rows: _Rows) -> Iterator[tuple[str, list[Mention]]]:
    """Yield the texts with what the table says of them."""
    for file in texts:
        with contextlib.suppress(BadInputError):  # whoever parses the note raises it
            yield read_text(file), _mentions(rows.get(file.stem, []))


def _note(file: Path, document: _Document, split: str, verdict: str, skipped: Counter[str]) -> Note:
    raw = read_text(file)
    text, strange = counting.plain(raw), counting.conversions(raw)
    input_checks.check_text(f"{file}:1", text)
    for _, row in document:
        if isinstance(row, BadInputError):
            raise row
    places = counting.settled(f"{file}:1", raw, _mentions(document))
    spans = [_span(where, row, text, places, verdict, strange) for where, row in document if isinstance(row, _Row)]
    article = published[1] if (published := PUBLISHED.fullmatch(file.stem)) else ""
    note = Note(file.stem, text, input_checks.distinct(spans, strange), language="es", split=split, article=article)
    skipped.update(strange)  # only now: a note that is skipped whole counts once
    return note


def _span(where: str, row: _Row, text: str, places: counting.Places, verdict: str, strange: Counter[str]) -> Span:
    written = counting.moved(input_checks.parse_offsets(where, row.offsets), places)
    if verdict and not counting.same(text, Mention(written, row.surface)):
        found = f"the surface is not what stands at the offsets{verdict}"
        raise BadInputError(where, counting.DIFFERS, found, "offsets in characters of this very text")
    fragments = [(start, end) for start, end in written if start != end]
    if len(fragments) < len(written):  # the annotation tool left a few, beside real ones; they hold no character
        strange["empty fragment (dropped)"] += 1
    checked = input_checks.checked_fragments(where, fragments, len(text))
    if not counting.same(text, Mention(written, row.surface)):
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
