"""Notes in files of whichever kind: the kind is seen from the path."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clinfed.corpus.files import visible
from clinfed.corpus.note import Note
from clinfed.corpus.readers import brat, codiesp, conll, jsonl
from clinfed.errors import UserError

KINDS = ("jsonl", "brat", "codiesp", "conll", "text")
WHAT = "a file *.jsonl, *.conll or *.ann, or a folder of such, or CodiEsp's"


def kind_of(path: Path) -> str:
    """Return the kind of notes in a file or folder. Raises: UserError where there is nothing that any reader knows.

    *.jsonl; *.conll; *.tsv or a folder with text_files/ and a table (CodiEsp); *.ann or a folder with one (BRAT);
    "text" where there are only *.txt, without annotations.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected {WHAT}")
    folder = path.parent if path.suffix == ".tsv" else path
    if any(_is_codiesp(each) for each in (folder, folder / "train", folder / "dev")):
        return "codiesp"
    if path.suffix == ".txt" and path.with_suffix(".ann").is_file():
        return "brat"
    # BRAT first: its folders may hold a metadata.jsonl.
    for suffix, kind in ((".ann", "brat"), (".jsonl", "jsonl"), (".conll", "conll"), (".txt", "text")):
        if path.suffix == suffix or (path.is_dir() and any(visible(path, f"**/*{suffix}"))):
            # Texts without annotations may have a metadata.jsonl too.
            lone = kind == "jsonl" and path.is_dir() and not _other_than_metadata(path)
            return "text" if lone else kind
    raise UserError(f"{path}: no notes of a known kind; expected {WHAT}")


def read(path: Path, kind: str, *, skip_bad: bool, skipped: Counter[str]) -> Iterator[Note]:
    """Yield the notes, streaming.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    if kind == "codiesp":
        return codiesp.read(path.parent if path.suffix == ".tsv" else path, skip_bad=skip_bad, skipped=skipped)
    if kind == "text":
        folder = path / "text_files" if (path / "text_files").is_dir() else path
        return brat.read(folder, annotated=False, skip_bad=skip_bad, skipped=skipped)
    readers = {"brat": brat.read, "jsonl": jsonl.read, "conll": conll.read}
    return readers[kind](path, skip_bad=skip_bad, skipped=skipped)


def count(path: Path, kind: str) -> int | None:
    """Return about how many notes there are, without parsing them, for a progress bar; None where it would cost."""
    if kind == "conll":
        return None
    if kind == "jsonl":
        files = [path] if path.is_file() else visible(path, "**/*.jsonl")
        return sum(_lines(file) for file in files)
    folder = path.parent if path.suffix == ".tsv" else path
    pattern = "**/text_files/*.txt" if kind == "codiesp" else "**/*.txt"
    return 1 if path.suffix in (".txt", ".ann") else sum(1 for _ in visible(folder, pattern))


def _lines(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _is_codiesp(folder: Path) -> bool:
    return (folder / "text_files").is_dir() and any(visible(folder, "*X.tsv"))


def _other_than_metadata(folder: Path) -> bool:
    return any(file != folder / brat.METADATA_FILE for file in visible(folder, "**/*.jsonl"))
