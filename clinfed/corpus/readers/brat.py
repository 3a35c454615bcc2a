"""BRAT: a text file NAME.txt with its annotations NAME.ann; one pair, or all below a folder.

The id is the path below the folder without suffix, with %-escapes undone (`writers.write_brat` escapes what a file name
cannot hold). BRAT has no place for language, patient, clinic and split: `note_metadata` reads them from metadata.jsonl.
Each mention may have several codes (see `standoff`), each of which gives a span. A file is UTF-8. A text is kept with
LF line ends and without byte order mark; the surfaces in the .ann file tell whether its offsets count CR LF and the
mark (see `counting`). No .ann at all is a fault, an empty one is not.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from clinfed.corpus import brat_offsets, counting, input_checks, standoff, walking
from clinfed.corpus.files import decode_line, given_path, read_lines, read_text
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.corpus.note_metadata import NoteMetadata
from clinfed.corpus.readers.base import FileCorpus
from clinfed.corpus.walking import Listing
from clinfed.errors import UserError, printable
from clinfed.settings import setting

PAIRS = "a .txt file with its .ann beside it, or a folder of such pairs"
ELSEWHERE = "expected metadata.jsonl"  # of tables, which may say whose the notes are


@dataclass(frozen=True)
class Brat(FileCorpus):
    """Notes in BRAT's standoff format."""

    keep_fragments: bool = setting(
        False, help="keep fragments of a mention apart even if only white space separates them"
    )

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped, keep_fragments=self.keep_fragments)


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
    return input_checks.checked_notes(candidates, skip_bad=skip_bad, skipped=counts)


def annotations_of(text: Path) -> list[Path]:
    """Return the .ann files beside a text, in capitals or not. Raises: UserError, the folder cannot be read."""
    return [file for file in _pair(text).of(".ann") if file.stem == text.stem]


def _pair(file: Path) -> Listing:
    """Return the files of the pair that one of them names."""
    try:
        beside = sorted(each for each in file.parent.iterdir() if each.stem == file.stem and each.is_file())
    except OSError as error:
        found = f"{printable(str(file.parent))}: cannot be read ({type(error).__name__})"
        raise UserError(f"{found}; expected a folder that you may read; change its permissions") from None
    texts = [each for each in beside if each.suffix.lower() == ".txt"] if file.suffix.lower() == ".ann" else [file]
    return Listing(file.parent, texts + [each for each in beside if each.suffix.lower() == ".ann"])


def _candidates(path: Path, skipped: Counter[str], annotated: bool, keep_fragments: bool) -> Iterator[Candidate]:
    is_folder = path.is_dir()
    found = walking.listing(path) if is_folder else _pair(path)
    texts = found.of(".txt") if is_folder else [file for file in found.files if file.suffix.lower() != ".ann"]
    if not texts and not found.faults and not found.files:
        raise UserError(f"{path}: no file that ends in .txt was found; expected {PAIRS}; correct the path")
    ids = {text: unquote(text.relative_to(found.root).with_suffix("").as_posix()) for text in texts}
    metadata = NoteMetadata(found, list(ids.values()), skipped)
    if is_folder:
        wanted = (".txt", ".ann") if annotated else (".txt",)
        yield from walking.passed_over(found, wanted, skipped, used=metadata.files, hint=ELSEWHERE)
        yield from map(walking.refusal, metadata.strays())
    annotations = defaultdict(list)
    for file in found.of(".ann") if annotated else ():
        annotations[file.with_suffix("")].append(file)
    note = partial(_note, keep_fragments=keep_fragments)
    for text, id_ in ids.items():
        if annotated:
            yield f"{text}:1", partial(note, text, annotations.pop(text.with_suffix(""), []), id_, metadata, skipped)
        else:
            yield f"{text}:1", partial(_text, text, id_, metadata, skipped)
    for file in itertools.chain(*annotations.values()):
        yield f"{file}:1", partial(_orphan, f"{file}:1")


def _note(
    file: Path,
    annotations: Sequence[Path],
    id_: str,
    metadata: NoteMetadata,
    skipped: Counter[str],
    *,
    keep_fragments: bool,
) -> Note:
    raw = read_text(file)
    strange = counting.conversions(raw)
    text = counting.plain(raw)
    input_checks.check_text(f"{file}:1", text)
    lines = [(where, decode_line(where, line)) for where, line in read_lines(_only(file, annotations), strange)]
    kept = lines
    if text != raw:
        kept = brat_offsets.moved(lines, counting.settled(f"{file}:1", raw, brat_offsets.mentions(lines)))
    try:
        spans = standoff.parse(kept, text, strange)
    except BadInputError as fault:
        raise counting.explained(fault, raw, brat_offsets.mentions(lines)) from None
    given = spans if keep_fragments else input_checks.joined(spans, text, strange)
    note = Note(id_, text, input_checks.distinct(given, strange), **metadata.of(id_))
    skipped.update(strange)  # only now: a note that is skipped whole counts once
    return note


def _only(file: Path, annotations: Sequence[Path]) -> Path:
    if not annotations:
        expected = "the same name with .ann, empty where there is no mention"
        raise BadInputError(f"{file}:1", "no annotation file", "the text has no .ann file", expected)
    if len(annotations) > 1:
        found = "the text has two annotation files, whose suffixes differ in capitals"
        raise BadInputError(f"{file}:1", "two annotation files", found, "one .ann file for one text")
    return annotations[0]


def _text(file: Path, id_: str, metadata: NoteMetadata, skipped: Counter[str]) -> Note:
    raw = read_text(file)
    text = counting.plain(raw)
    input_checks.check_text(f"{file}:1", text)
    note = Note(id_, text, (), **metadata.of(id_))
    skipped.update(counting.conversions(raw))
    return note


def _orphan(where: str) -> Note:
    found = "the .ann file has no text of its own"
    raise BadInputError(where, "annotation without text", found, "the same name with .txt, no link to another's")
