"""Predicted spans of notes that stand elsewhere, by note id: from annotated copies of them, or from a bare table."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from clinfed.corpus import counting, intake, kinds
from clinfed.corpus.files import decode_line, read_lines
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError

_LONGEST_NOTE = 10**9  # characters: a table without texts cannot say where its notes end


def is_table(path: Path) -> bool:
    """Return whether the path names a CodiEsp table, but not the one of the texts that it stands beside."""
    return path.suffix.lower() == ".tsv" and not (
        path.stem.lower() in ("trainx", "devx", "testx") and (path.parent / "text_files").is_dir()
    )


def from_notes(path: Path, notes: Iterable[Note], predicted: Iterable[Note]) -> dict[str, tuple[Span, ...]]:
    """Return the predicted spans by note. path: of the predicted, for the message.

    Raises: UserError where a text's length shows that it is another text.
    """
    lengths = {note.id: len(note.text) for note in notes}
    spans = {}
    changed = 0
    for note in predicted:
        changed += lengths.get(note.id, len(note.text)) != len(note.text)
        spans[note.id] = note.spans
    if changed:
        raise UserError(f"{path}: {changed} note(s) differ in length from those given; expected the same texts in both")
    return spans


def from_table(table: Path) -> dict[str, tuple[Span, ...]]:
    """Return the diagnoses of a CodiEsp table by document, without its texts. Raises: BadInputError at a faulty row."""
    if not table.is_file():
        raise UserError(f"{table}: no such file; expected {kinds.WHAT}")
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for where, line in read_lines(table):
        fields = decode_line(where, line).split("\t")
        if len(fields) < 5 or fields[1] not in ("DIAGNOSTICO", "PROCEDIMIENTO"):
            expected = "id, DIAGNOSTICO or PROCEDIMIENTO, code, surface and offsets, separated by tabs"
            raise intake.BadInputError(where, "broken row", "a row that is not CodiEsp's", expected)
        if fields[1] == "DIAGNOSTICO":
            # The published tables hold a few empty fragments, which their reader drops too.
            fragments = [pair for pair in intake.parse_offsets(where, fields[-1]) if pair[0] != pair[1]]
            checked = intake.checked_fragments(where, fragments, _LONGEST_NOTE)
            spans[fields[0]].append(Span(checked, intake.checked_code(where, fields[2])))
    return {document: tuple(found) for document, found in spans.items()}


def check_table(table: Path, notes: Iterable[Note]) -> None:
    """Raise UserError where a table's surfaces are not what stands at its offsets in these notes."""
    mentions: defaultdict[str, list[counting.Mention]] = defaultdict(list)
    for where, line in read_lines(table):
        fields = decode_line(where, line).split("\t")
        with contextlib.suppress(intake.BadInputError):  # whoever reads the spans raises it
            written = tuple(intake.parse_offsets(where, fields[-1]))
            mentions[fields[0]].append(counting.Mention(written, "\t".join(fields[3:-1])))
    documents = ((note.text, mentions[note.id]) for note in notes if note.id in mentions)
    if verdict := counting.verdict(documents):
        found = f"the surface is not what stands at the offsets{verdict}"
        expected = "offsets in characters of these very texts"
        raise UserError(f"{table}: {found}; expected {expected}; write the table again")
