"""Notes to files, in forms that their readers give back exactly; what a form cannot hold is refused."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from clinfed.corpus import icd10, intake, jsonlines
from clinfed.corpus.note import Note, PredictedNote, Span
from clinfed.corpus.readers.brat import METADATA_FILE
from clinfed.errors import UserError

_LONGEST_NAME = 255  # bytes, on the usual file systems


def write_jsonl(notes: Iterable[Note], path: str | Path) -> None:
    """Write one line a note, in the schema of docs/formats.md; the file appears only when it is complete."""
    target = Path(path)
    with _appearing(target) as stream:
        for number, note in enumerate(notes, 1):
            intake.check_text(f"{target}:{number}", note.text)
            stream.write(jsonlines.dump(note) + "\n")


def write_codiesp(notes: Iterable[PredictedNote], path: str | Path) -> None:
    """Write CodiEsp's table of mentions, five columns without the texts, and NAME.scored.tsv, which adds two.

    These are the code's title and the score: readers of CodiEsp's own table know five columns only.
    Raises: UserError for an id that a table cannot hold, or a code that has not ICD-10's form.
    """
    target = Path(path)
    with _appearing(target) as table, _appearing(target.with_suffix(".scored.tsv")) as scored:
        for note in notes:
            if not note.id or len(note.id.split()) > 1:
                expected = "ids without blanks; write JSONL instead"
                raise UserError(f"{target}: an id is empty or holds blanks, which a table cannot; expected {expected}")
            for span, finding in zip(note.spans, note.findings, strict=True):
                code = _coded(str(target), span).lower()  # as the published tables have it
                row = "\t".join([note.id, "DIAGNOSTICO", code, _surface(note, span), _offsets(span)])
                table.write(f"{row}\n")
                scored.write(f"{row}\t{finding.title}\t{finding.score:.{jsonlines.SCORE_DIGITS}f}\n")


@contextmanager
def _appearing(target: Path) -> Iterator[TextIO]:
    """Give a stream whose content appears under the target's name when all of it is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream
    os.replace(unfinished, target)


def write_brat(notes: Iterable[Note], folder: str | Path) -> None:
    """Write NAME.txt and NAME.ann for each note, and metadata.jsonl where language, patient, clinic or split is known.

    The name is the id, with % and two digits for what a file name cannot hold. Each span gets a T line of its own, and
    its code as normalisation. Raises: UserError where the folder has files already, or a code has not ICD-10's form.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: not an empty folder; expected a new one, lest notes mix; name another")
    target.mkdir(parents=True, exist_ok=True)
    for note in notes:
        name = _file_name(target, note.id)
        where = f"{target / name}.txt:1"
        intake.check_text(where, note.text)
        # Bytes, so that no line end is translated.
        (target / f"{name}.txt").write_bytes(note.text.encode())
        (target / f"{name}.ann").write_bytes(_annotations(where, note).encode())
        if metadata := jsonlines.metadata(note):
            with (target / METADATA_FILE).open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(jsonlines.dump_object({"id": note.id} | metadata) + "\n")


def _file_name(folder: Path, id_: str) -> str:
    name = quote(id_, safe=" ")
    if name.startswith("."):  # hidden files are not read
        name = f"%2E{name[1:]}"
    if not id_ or len(name.encode()) + len(".txt") > _LONGEST_NAME or (folder / f"{name}.txt").exists():
        found = "an id that is empty, too long for a file name, or there twice"
        raise UserError(f"{folder}: {found}; expected short ids, one for one note; write JSONL instead")
    return name


def _annotations(where: str, note: Note) -> str:
    lines = []
    for number, (span, finding) in enumerate(note.said, 1):
        code = _coded(where, span)
        lines.append(f"T{number}\tDIAGNOSTICO {_offsets(span)}\t{_surface(note, span)}\n")
        title = finding.title if finding else ""
        lines.append(f"N{number}\tReference T{number} ICD10:{code}\t{title or code}\n")
        if finding:
            score = f"score {finding.score:.{jsonlines.SCORE_DIGITS}f}"
            lines.append(f"#{number}\tAnnotatorNotes T{number}\t{score}\n")
    return "".join(lines)


def _coded(where: str, span: Span) -> str:
    """Return the span's code, or raise UserError where it is a label."""
    if not icd10.is_code(span.code):
        raise UserError(f"{where}: a mention has no ICD-10 code; expected one like E11.9; write JSONL instead")
    return span.code


def _offsets(span: Span) -> str:
    return ";".join(f"{start} {end}" for start, end in span.fragments)


def _surface(note: Note, span: Span) -> str:
    return " ".join(note.text[start:end] for start, end in span.fragments).replace("\n", " ").replace("\t", " ")
