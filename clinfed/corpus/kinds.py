"""Notes in files of whichever kind: the kind is seen from the path."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clinfed.corpus.files import given_path
from clinfed.corpus.forms import form_of_tool
from clinfed.corpus.note import Note
from clinfed.corpus.readers import brat, codiesp, conll, doccano, jsonl, labelstudio
from clinfed.corpus.walking import is_metadata, listing
from clinfed.errors import UserError

KINDS = ("jsonl", "brat", "codiesp", "conll", "doccano", "labelstudio", "text")
WHAT = "a file *.jsonl, *.conll or *.ann, or a folder of such, or CodiEsp's"

_SUFFIXES = {".ann": "brat", ".jsonl": "jsonl", ".conll": "conll", ".txt": "text"}
_NO_NOTES = ("readme", "license", "licence", "changelog")  # texts that stand beside files of notes


def kind_of(path: Path) -> str:
    """Return the kind of notes in a file or folder.

    *.doccano.jsonl; *.labelstudio.json; *.jsonl; *.conll; *.tsv or a folder with text_files/ and a table (CodiEsp);
    *.ann or a folder with one (BRAT);
    "text" where there are only *.txt, without annotations.
    Raises: UserError where there is nothing that any reader knows, or where there are several kinds.
    """
    given_path(path, WHAT)
    suffix = path.suffix.lower()
    folder = path.parent if suffix == ".tsv" else path
    if any(codiesp.is_layout(each) for each in (folder, folder / "train", folder / "dev", folder / "test")):
        return "codiesp"
    if os.path.isdir(path):
        return _kind_of_folder(path)
    if suffix == ".txt" and brat.annotations_of(path):
        return "brat"
    if kind := form_of_tool(path.name):
        return kind
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise UserError(f"{path}: no notes of a known kind; expected {WHAT}")


def _kind_of_folder(path: Path) -> str:
    found = listing(path)
    counts = Counter(file.suffix.lower() for file in found.files if not is_metadata(file))
    if counts[".ann"]:
        del counts[".txt"]  # texts of BRAT
    elif counts[".jsonl"] or counts[".conll"]:
        counts[".txt"] -= sum(file.stem.lower().startswith(_NO_NOTES) for file in found.of(".txt"))
    present = {suffix: kind for suffix, kind in _SUFFIXES.items() if counts[suffix]}
    if not present:
        if found.faults:
            raise found.faults[0]
        raise UserError(f"{path}: no notes of a known kind; expected {WHAT}")
    if len(present) > 1:
        listed = ", ".join(f"{counts[suffix]:,} *{suffix}" for suffix in present)
        remedy = "name one file, give the kind (--format, corpus=), or part them into folders"
        raise UserError(f"{path}: several kinds of notes ({listed}); expected one kind; {remedy}")
    return next(iter(present.values()))


def read(path: Path, kind: str, *, skip_bad: bool, skipped: Counter[str]) -> Iterator[Note]:
    """Yield the notes, streaming.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    if kind == "codiesp":
        return codiesp.read(_codiesp_folder(path), skip_bad=skip_bad, skipped=skipped)
    if kind == "text":
        return brat.read(_text_folder(path), annotated=False, skip_bad=skip_bad, skipped=skipped)
    readers = {"brat": brat.read, "jsonl": jsonl.read, "conll": conll.read, "doccano": doccano.read}
    readers["labelstudio"] = labelstudio.read
    return readers[kind](path, skip_bad=skip_bad, skipped=skipped)


def count(path: Path, kind: str) -> int | None:
    """Return about how many notes there are, without parsing them, for a progress bar; None where it would cost."""
    given_path(path, WHAT)
    if kind in ("conll", "labelstudio"):
        return None
    if kind in ("jsonl", "doccano"):
        return sum(_lines(file) for file in ([path] if os.path.isfile(path) else listing(path).of(".jsonl")))
    if kind == "codiesp":
        return codiesp.count(_codiesp_folder(path))
    return 1 if os.path.isfile(path) else len(listing(_text_folder(path) if kind == "text" else path).of(".txt"))


def _codiesp_folder(path: Path) -> Path:
    return path.parent if path.suffix.lower() == ".tsv" else path


def _text_folder(path: Path) -> Path:
    return path / "text_files" if os.path.isdir(path / "text_files") else path


def _lines(file: Path) -> int:
    with contextlib.suppress(OSError), file.open("rb") as stream:
        return sum(1 for line in stream if line.strip())
    return 0  # the reader says that it cannot be read
