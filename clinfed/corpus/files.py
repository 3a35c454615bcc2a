"""Files of notes on a disk: which ones a path names, and their bytes as text, strictly."""

import codecs
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clinfed.corpus import counting, walking
from clinfed.corpus.input_checks import BadInputError, Candidate, encodable
from clinfed.corpus.walking import Listing
from clinfed.errors import UserError, printable


def find_files(path: str | Path, suffix: str, what: str) -> tuple[Path, list[Path]]:
    """Return the root folder and the sorted files: the one that the path names, or all below it with the suffix.

    Files and folders whose name begins with a dot are not looked at. Raises UserError where there is nothing to read.
    """
    found = below(path, what)
    files = found.files if os.path.isfile(path) else found.of(suffix)
    # A file that is refused is a file, too: who reads the notes says so.
    if not files and not any(file.suffix.lower() == suffix for file in found.files) and not found.faults:
        raise UserError(f"{found.root}: no file that ends in {suffix} was found; expected {what}; correct the path")
    return found.root, files


def left_out(path: str | Path, suffix: str, what: str, skipped: Counter[str]) -> Iterator[Candidate]:
    """Count in skipped what lies in a folder beside the files with the suffix; yield what may not be passed over.

    Nothing is left out where the path names one file. Raises: UserError for a wrong path.
    """
    if not os.path.isfile(path):
        yield from walking.passed_over(below(path, what), (suffix,), skipped)


def below(path: str | Path, what: str) -> Listing:
    """Return the files below a folder, or the one that the path names. Raises: UserError for a wrong path."""
    given = given_path(path, what)
    if os.path.isfile(given):
        return Listing(given.parent, [given])
    if not os.path.isdir(given):
        raise UserError(f"{given}: neither a file nor a folder; expected {what}; correct the path")
    return walking.listing(given)


def given_path(path: str | Path, what: str) -> Path:
    """Return the path, or raise UserError where none was given, where nothing is or where nothing can be read."""
    if not str(path):
        raise UserError(f"corpus.path: no path was given; expected {what}; pass corpus.path=/absolute/path")
    named = printable(str(path))
    if not encodable(str(path)):
        raise UserError(f"{named}: the name is not UTF-8; expected a path in UTF-8; rename the file or folder")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{named}: no such file or folder; expected {what}; correct the path") from None
    except (OSError, ValueError) as error:
        found = f"cannot be read ({type(error).__name__})"
        raise UserError(f"{named}: {found}; expected {what}; correct the path, or change its permissions") from None
    return Path(path)


def read_text(file: Path) -> str:
    """Return the file's text, every character as it stands: a byte order mark too, and no line end is translated.

    Raises: BadInputError where the file cannot be read or is not UTF-8.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None
    return _decode(f"{file}:1", data)


def read_lines(file: Path, skipped: Counter[str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield ("file:line", the bytes of the line without its LF or CR LF, and without byte order mark), streaming.

    skipped: counts the file where it has a byte order mark or ends its lines in CR LF: nothing here counts them.
    Raises: BadInputError where the file cannot be read.
    """
    found: set[str] = set()
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if number == 1 and line.startswith(codecs.BOM_UTF8):
                    found.add(counting.MARK)
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.endswith(b"\r\n"):
                    found.add(counting.PAIRS)
                yield f"{file}:{number}", line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise _unreadable(file, error) from None
    if skipped is not None:
        skipped.update(found)


def _unreadable(file: Path, error: OSError) -> BadInputError:
    return BadInputError(str(file), "unreadable file", f"cannot be read ({type(error).__name__})", "a readable file")


def decode_line(where: str, line: bytes) -> str:
    """Return the line as text. Raises BadInputError: not UTF-8, or a byte order mark, which only a file begins with."""
    if line.startswith(codecs.BOM_UTF8):
        raise BadInputError(where, "byte order mark", "begins with a byte order mark", "UTF-8 without it")
    return _decode(where, line)


def check_line(where: str, line: str) -> None:
    """Raise BadInputError where the line of a table holds a CR: it would be several rows in one."""
    if "\r" in line:
        found = "a carriage return (CR) inside the line, as where lines end in CR alone"
        raise BadInputError(where, "carriage return", found, "lines that end in LF or CR LF")


def _decode(where: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        found = "the file is UTF-16" if utf16 else f"byte {error.start} (line {line + 1}) is not UTF-8"
        raise BadInputError(where, "not UTF-8", found, "UTF-8") from None
