"""Notes to files, in forms that their readers give back exactly; what a form cannot hold is refused.

What is written appears under its name when it is complete, and nothing of it stays where a note is refused before. It
is readable to its owner alone.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, TextIO
from urllib.parse import quote

from clinfed.corpus import icd10, input_checks, jsonlines
from clinfed.corpus.note import Fragment, Note, PredictedNote, Span
from clinfed.corpus.walking import METADATA_FILE
from clinfed.disk import writing
from clinfed.errors import UserError

_LONGEST_NAME = 255  # bytes, on the usual file systems


def write_jsonl(notes: Iterable[Note], path: str | Path) -> None:
    """Write one line a note, in the schema of docs/formats.md."""
    target = Path(path)
    with appearing(target) as stream:
        for number, note in enumerate(notes, 1):
            input_checks.check_text(f"{target}:{number}", note.text)
            stream.write(jsonlines.dump(note) + "\n")


def write_codiesp(notes: Iterable[PredictedNote], path: str | Path) -> None:
    """Write CodiEsp's table of mentions, five columns without the texts, and NAME.scored.tsv, which adds two.

    These are the code's title and the score: readers of CodiEsp's own table know five columns only.
    Raises: UserError for an id that a table cannot hold, or a code that has not ICD-10's form.
    """
    target = Path(path)
    with appearing(target) as table, appearing(target.with_suffix(".scored.tsv")) as scored:
        for note in notes:
            if not note.id or len(note.id.split()) > 1:
                expected = "ids without blanks; write JSONL instead"
                raise UserError(f"{target}: an id is empty or holds blanks, which a table cannot; expected {expected}")
            for span, prediction in zip(note.spans, note.predictions, strict=True):
                code = _coded(str(target), span).lower()  # as the published tables have it
                row = "\t".join([note.id, "DIAGNOSTICO", code, _surface(note, span), _offsets(span)])
                table.write(f"{row}\n")
                scored.write(f"{row}\t{prediction.title}\t{prediction.score:.{jsonlines.SCORE_DIGITS}f}\n")


@contextmanager
def appearing(target: Path) -> Iterator[TextIO]:
    """Give a stream whose content appears under the target's name when all of it is written."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)  # a killed process may have left one, readable to others
    try:
        with writing(target, unfinished):
            with _open_private(unfinished, "w") as stream:
                yield stream
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _appearing_folder(target: Path) -> Iterator[Path]:
    """Give a folder that appears under the target's name when all of it is written."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = target.resolve()  # "." has no name, and a link cannot be replaced by a folder
    with writing(target, place.with_name(f"{place.name}.")):
        unfinished = Path(mkdtemp(prefix=f"{place.name}.", suffix=".unfinished", dir=place.parent))  # has mode 0700
    try:
        with writing(target, unfinished):
            yield unfinished
            os.replace(unfinished, place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _open_private(file: Path, mode: Literal["w", "a"]) -> TextIO:
    """Open a file that only its owner can read and write. No line end is translated."""
    return open(file, mode, encoding="utf-8", newline="\n", opener=lambda path, flags: os.open(path, flags, 0o600))


def write_brat(notes: Iterable[Note], folder: str | Path) -> None:
    """Write NAME.txt and NAME.ann for each note, and metadata.jsonl where language, patient, clinic or split is known.

    The name is the id, with % and two digits for what a file name cannot hold. Each span gets a T line of its own, and
    its code as normalisation. Raises: UserError where the folder has files already, or a code has not ICD-10's form.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: not an empty folder; expected a new one, so that notes do not mix; name another")
    with _appearing_folder(target) as unfinished:
        for note in notes:
            name = _file_name(target, note.id)
            where = f"{target / name}.txt:1"
            if (unfinished / f"{name}.txt").exists():
                raise _unnameable(target)
            input_checks.check_text(where, note.text)
            for suffix, content in ((".txt", note.text), (".ann", _annotations(where, note))):
                with _open_private(unfinished / f"{name}{suffix}", "w") as stream:
                    stream.write(content)
            if metadata := jsonlines.metadata(note):
                with _open_private(unfinished / METADATA_FILE, "a") as stream:
                    stream.write(jsonlines.dump_object({"id": note.id} | metadata) + "\n")


def _file_name(folder: Path, id_: str) -> str:
    name = quote(id_, safe=" ")
    if name.startswith("."):  # hidden files are not read
        name = f"%2E{name[1:]}"
    if not id_ or len(name.encode()) + len(".txt") > _LONGEST_NAME:
        raise _unnameable(folder)
    return name


def _unnameable(folder: Path) -> UserError:
    found = "an id that is empty, too long for a file name, or there twice"
    return UserError(f"{folder}: {found}; expected short ids, one for one note; write JSONL instead")


def _annotations(where: str, note: Note) -> str:
    lines = []
    for number, (span, prediction) in enumerate(note.spans_with_predictions, 1):
        code = _coded(where, span)
        lines.append(f"T{number}\tDIAGNOSTICO {_offsets(span)}\t{_surface(note, span)}\n")
        title = prediction.title if prediction else ""
        lines.append(f"N{number}\tReference T{number} ICD10:{code}\t{title or code}\n")
        if prediction:
            score = f"score {prediction.score:.{jsonlines.SCORE_DIGITS}f}"
            lines.append(f"#{number}\tAnnotatorNotes T{number}\t{score}\n")
    return "".join(lines)


def _coded(where: str, span: Span) -> str:
    """Return the span's code, or raise UserError where it is a label."""
    if not icd10.is_code(span.code):
        raise UserError(f"{where}: a mention has no ICD-10 code; expected one like E11.9; write JSONL instead")
    return span.code


def single(target: Path, span: Span) -> Fragment:
    """Return start and end of a mention. Raises: UserError for one of several parts, which two numbers cannot say."""
    if len(span.fragments) > 1:
        raise UserError(f"{target}: a mention of several parts; expected one start and end; write JSONL instead")
    return span.fragments[0]


def _offsets(span: Span) -> str:
    return ";".join(f"{start} {end}" for start, end in span.fragments)


def _surface(note: Note, span: Span) -> str:
    return " ".join(note.text[start:end] for start, end in span.fragments).replace("\n", " ").replace("\t", " ")
