"""Predicted spans of notes that stand elsewhere, by note id: from annotated copies of them, or from a bare table."""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from clinfed.corpus import counting, input_checks, kinds
from clinfed.corpus.files import check_line, decode_line, read_lines
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError

_ROWS = (
    "id, DIAGNOSTICO or PROCEDIMIENTO, code, surface and offsets, or id, offsets, DIAGNOSTICO or PROCEDIMIENTO, and "
    "code, separated by tabs and without a header"
)
_LONGEST_NOTE = 10**9  # characters: nothing says where a note ends that is not given


def is_table(path: Path) -> bool:
    """Return whether the path names a CodiEsp table, but not the one of the texts that it stands beside."""
    return path.suffix.lower() == ".tsv" and not (
        path.stem.lower() in ("trainx", "devx", "testx") and (path.parent / "text_files").is_dir()
    )


def from_notes(path: Path, notes: Iterable[Note], predicted: Iterable[Note]) -> dict[str, tuple[Span, ...]]:
    """Return the predicted spans by note. path: of the predicted, for the message.

    Raises: UserError where a text is another one. Which character parts two words does not matter, nor does the case.
    """
    texts = {note.id: note.text for note in notes}
    spans = {}
    changed = 0
    for note in predicted:
        changed += not _same(texts.get(note.id, note.text), note.text)
        spans[note.id] = note.spans
    if changed:
        raise UserError(
            f"{path}: {changed} note(s) differ in text from those given; expected the same text in both; predict those"
        )
    return spans


def from_table(
    table: Path, notes: Iterable[Note], *, skip_bad: bool = False, skipped: Counter[str] | None = None
) -> dict[str, tuple[Span, ...]]:
    """Return the diagnoses of a table of CodiEsp's by document. notes: no offset may lie behind the end of their texts.

    Raises: BadInputError at a faulty row, unless skip_bad, which counts it in skipped and leaves that row out.
    """
    if not table.is_file():
        raise UserError(f"{table}: no such file; expected {kinds.WHAT}")
    counts: Counter[str] = Counter() if skipped is None else skipped
    lengths = {note.id: len(note.text) for note in notes}
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for where, line in read_lines(table, counts):
        try:
            found = _row(where, decode_line(where, line), lengths) if line.strip() else None
        except input_checks.BadInputError as fault:
            if not skip_bad:
                raise
            counts[fault.kind] += 1
            continue
        if found is not None:
            document, span = found
            spans[document].append(span)
    return {document: input_checks.distinct(found, counts) for document, found in spans.items()}


def check_table(table: Path, notes: Iterable[Note], skipped: Counter[str]) -> None:
    """Raise UserError where a table's surfaces are not what stands at its offsets in these notes; count a few slips."""
    mentions: defaultdict[str, list[counting.Mention]] = defaultdict(list)
    for where, line in read_lines(table):
        fields = decode_line(where, line).split("\t")
        if len(fields) < 5:  # the task's own form brings no surface
            continue
        with contextlib.suppress(input_checks.BadInputError):  # whoever reads the spans raises it
            written = tuple(input_checks.parse_offsets(where, fields[-1]))
            mentions[fields[0]].append(counting.Mention(written, "\t".join(fields[3:-1])))
    documents = [(note.text, mentions[note.id]) for note in notes if note.id in mentions]
    if verdict := counting.verdict(documents):
        found = f"the surface is not what stands at the offsets{verdict}"
        expected = "offsets in characters of these very texts"
        raise UserError(f"{table}: {found}; expected {expected}; write the table again")
    if slips := sum(not counting.same(text, each) for text, found_here in documents for each in found_here):
        skipped["surface differs from the text (kept)"] += slips


def _row(where: str, line: str, lengths: Mapping[str, int]) -> tuple[str, Span] | None:
    """Return document and span of a diagnosis, None for a procedure. Raises: BadInputError."""
    check_line(where, line)
    match line.split("\t"):
        case [document, ("DIAGNOSTICO" | "PROCEDIMIENTO") as label, code, _, *_, offsets]:  # as the corpus has it
            pass
        case [document, offsets, ("DIAGNOSTICO" | "PROCEDIMIENTO") as label, code]:  # as the task's own evaluation has
            pass
        case _:
            raise input_checks.BadInputError(where, "broken row", "a row that is not CodiEsp's", _ROWS)
    if label == "PROCEDIMIENTO":
        return None
    # The published tables hold a few empty fragments, which their reader drops too.
    fragments = [pair for pair in input_checks.parse_offsets(where, offsets) if pair[0] != pair[1]]
    checked = input_checks.checked_fragments(where, fragments, lengths.get(document, _LONGEST_NOTE))
    return document, Span(checked, input_checks.checked_code(where, code))


def _same(one: str, other: str) -> bool:
    """Return whether two texts say the same at the same offsets."""
    return one == other or _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return re.sub(r"\s", " ", text).rstrip().lower()
