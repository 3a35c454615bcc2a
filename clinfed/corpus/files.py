"""Files of notes on a disk: which ones there are, and their bytes as text, strictly."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from clinfed.corpus.intake import BadInputError
from clinfed.errors import UserError


def find_files(path: str | Path, suffix: str, what: str) -> tuple[Path, list[Path]]:
    """Return the root folder and the sorted files: the one that the path names, or all below it with the suffix.

    Files and folders whose name begins with a dot are not looked at. Raises UserError where there is nothing to read.
    """
    root = given_path(path, what)
    if root.is_file():
        return root.parent, [root]
    if not root.is_dir():
        raise UserError(f"{root}: no such file or folder; expected {what}; correct the path")
    found = sorted(visible(root, f"**/*{suffix}"))
    if not found:
        raise UserError(f"{root}: no file that ends in {suffix} was found; expected {what}; correct the path")
    return root, found


def visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files that match the pattern, but those where a name below the folder begins with a dot."""
    for file in folder.glob(pattern):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def given_path(path: str | Path, what: str) -> Path:
    """Return the path, or raise UserError where none was given."""
    if not str(path):
        raise UserError(f"corpus.path: no path was given; expected {what}; pass corpus.path=/absolute/path")
    return Path(path)


def read_text(file: Path) -> str:
    """Return the file's text, every character as it stands: no line end is translated.

    Raises: BadInputError where the file cannot be read, is not UTF-8 or begins with a byte order mark.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None
    return decode(f"{file}:1", data)


def read_lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield ("file:line", the bytes of the line without its LF), streaming. Raises BadInputError, unreadable file."""
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                yield f"{file}:{number}", line.removesuffix(b"\n")
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> BadInputError:
    return BadInputError(str(file), "unreadable file", f"cannot be read ({type(error).__name__})", "a readable file")


def decode_line(where: str, line: bytes) -> str:
    """Return the line as text. Raises BadInputError: not UTF-8, a byte order mark, or CR LF."""
    text = decode(where, line)
    if text.endswith("\r"):
        raise BadInputError(where, "carriage return", "the line ends in CR LF", "lines that end in LF")
    return text


def decode(where: str, data: bytes) -> str:
    """Return the bytes as text. Raises BadInputError: not UTF-8, or a byte order mark at the beginning."""
    if data.startswith(codecs.BOM_UTF8):
        raise BadInputError(where, "byte order mark", "begins with a byte order mark", "UTF-8 without it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        raise BadInputError(where, "not UTF-8", f"byte {error.start} (line {line + 1}) is not UTF-8", "UTF-8") from None
