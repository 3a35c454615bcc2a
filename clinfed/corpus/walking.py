"""Which files lie below a folder: links are followed, each once, and nothing is passed over without a word.

Python's own glob follows links to folders in some versions only, and passes over folders that cannot be read.
"""

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clinfed.corpus import input_checks
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.errors import UserError, printable

METADATA_FILE = "metadata.jsonl"

_AGAIN = "link to what is read already, or to a folder above (left)"
_SPECIAL = "pipe, socket or device (not read)"

# Suffixes that a count may name: any other may be a word of somebody's.
_NAMED = re.compile(
    r"\.(txt|ann|jsonl?|ndjson|conllu?|bio|iob|[tc]sv|xml|xmi|html?|pdf|docx?|odt|rtf|md|rst|xlsx?|ods|parquet|ya?ml|toml"
    r"|conf|cfg|ini|log|py|sh|ipynb|zip|t?gz|tar|7z|bak|tmp|png|jpe?g|tiff?|dcm|a1|a2|unfinished)"
)
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xls", ".xlsx", ".ods", ".parquet")
# Other forms that say whose notes are. The last suffix counts: metadata.jsonl.gz is one of them.
_PACKED = (".gz", ".zip", ".xml", ".yaml", ".yml", ".db", ".sqlite", ".sav", ".dta", ".rds", ".feather", ".bak")
_OF_PATIENTS = re.compile(
    r"(?<![a-z])(meta(data|dades|datos)?|patients?|pacients?|pacientes?|subjects?|persons?|personas|nhc|mrn"
    r"|(socio)?demogra[a-z]*)(?![a-z])"
)


@dataclass
class Listing:
    """The visible files below a folder, sorted.

    faults: what cannot be read, or leads nowhere. counts: what is left out by design, by reason.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    faults: list[BadInputError] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def of(self, *suffixes: str) -> list[Path]:
        """Return the files with one of the suffixes, in capitals or not, whose name UTF-8 can hold."""
        return [file for file in self.files if file.suffix.lower() in suffixes and input_checks.encodable(str(file))]


def listing(root: Path) -> Listing:
    """Return what lies below the folder. Raises: UserError where the folder itself cannot be read."""
    try:
        os.scandir(root).close()
    except OSError as error:
        expected = "a folder that you may read; change its permissions"
        raise UserError(
            f"{printable(str(root))}: cannot be read ({type(error).__name__}); expected {expected}"
        ) from None
    walk = _Walk(root)
    walk.run()
    walk.found.files.sort()
    return walk.found


def passed_over(
    found: Listing,
    wanted: Collection[str],
    skipped: Counter[str],
    *,
    used: Collection[Path] = (),
    hint: str = "",
    by_patient: bool = True,
) -> Iterator[Candidate]:
    """Count in skipped what is not read; yield what cannot be passed over as notes that raise its fault.

    wanted: the suffixes that are read. used: other files that are. hint: where tables with patients belong.
    by_patient: whether these notes are split by patient, so that a file that names patients may not be passed over.
    """
    skipped.update(found.counts)
    faults = list(found.faults)
    for file in found.files:
        suffix = file.suffix.lower()
        if suffix in wanted:
            faults += [] if input_checks.encodable(str(file)) else [_unencodable(file)]
        elif file in used:
            continue
        elif not _names_patients(file):
            skipped[other_kind(suffix, hint)] += 1
        elif by_patient:
            faults.append(_unread_metadata(file))
        else:
            skipped["table that seems to say whose the notes are (not read)"] += 1
    return (refusal(fault) for fault in faults)


def refusal(fault: BadInputError) -> Candidate:
    """Return a note that cannot be had: parsing it raises the fault."""
    return fault.where, partial(_refuse, fault)


def other_kind(suffix: str, hint: str = "") -> str:
    """Return under which words a file that is not read is counted. hint: where tables with patients belong."""
    named = suffix if _NAMED.fullmatch(suffix) else "another suffix" if suffix else "no suffix"
    advice = f"; {hint}" if suffix in _TABLES and hint else ""
    return f"file of another kind ({named}, not read{advice})"


def is_metadata(file: Path) -> bool:
    """Return whether the file has the documented name of metadata, in capitals or not."""
    return file.name.lower() == METADATA_FILE


def _refuse(fault: BadInputError) -> Note:
    raise fault


def _names_patients(file: Path) -> bool:
    return file.suffix.lower() in (*_TABLES, *_PACKED) and bool(_OF_PATIENTS.search(file.stem.lower()))


def _unread_metadata(file: Path) -> BadInputError:
    found = "seems to say whose the notes are, in a form that is not read here"
    expected = f"{METADATA_FILE} in a folder of BRAT or text notes, or the fields of JSONL (docs/formats.md)"
    return BadInputError(str(file), "metadata not read", found, expected)


def _unencodable(file: Path) -> BadInputError:
    found = "the file name is not UTF-8, and ids of notes come from it"
    return BadInputError(str(file), "file name not UTF-8", found, "a name in UTF-8: rename it")


class _Walk:
    """Goes through a folder: what lies there itself first, then folders behind links, then files behind links."""

    def __init__(self, root: Path) -> None:
        self.found = Listing(root)
        self._top = os.path.realpath(root)
        self._seen: set[tuple[int, int]] = set()  # folders, by device and number
        self._folders = deque([str(root)])
        self._links: list[Path] = []

    def run(self) -> None:
        while self._folders:
            for folder, names, files in os.walk(self._folders.popleft(), onerror=self._unreadable):
                names[:] = sorted(name for name in names if not name.startswith("."))
                if self._is_new(folder):
                    self._folders += [each for name in names if os.path.islink(each := os.path.join(folder, name))]
                    for name in files:
                        self._enter(Path(folder, name))
                else:
                    names.clear()
        self._follow()

    def _is_new(self, folder: str) -> bool:
        """Return whether the folder was not seen before, by whatever name, and is none that the top lies in."""
        place = os.stat(folder)
        key = (place.st_dev, place.st_ino)
        real = os.path.realpath(folder)
        above = real != self._top and self._top.startswith(os.path.join(real, ""))
        if key in self._seen or above:
            self.found.counts[_AGAIN] += 1
            return False
        self._seen.add(key)
        return True

    def _enter(self, file: Path) -> None:
        if file.name.startswith("."):
            return
        try:
            mode = os.lstat(file).st_mode
        except OSError as error:
            self._unreadable(error)
            return
        if stat.S_ISLNK(mode):
            self._links.append(file)
        elif stat.S_ISREG(mode):
            self.found.files.append(file)
        else:
            self.found.counts[_SPECIAL] += 1

    def _follow(self) -> None:
        """Enter the files behind links, but those that were read already under the same suffix."""
        targets = set()
        for link in sorted(self._links):
            try:
                real = Path(os.path.realpath(link))
                mode, above = os.stat(link).st_mode, os.stat(real.parent)
            except OSError:
                expected = "a link to a file or folder that you may read; correct or remove the link"
                fault = BadInputError(str(link), "broken link", "a link that leads nowhere", expected)
                self.found.faults.append(fault)
                continue
            suffix = link.suffix.lower()
            stands_here = (above.st_dev, above.st_ino) in self._seen and not real.name.startswith(".")
            if (stands_here and real.suffix.lower() == suffix) or (real, suffix) in targets:
                self.found.counts[_AGAIN] += 1
            elif stat.S_ISREG(mode):
                targets.add((real, suffix))
                self.found.files.append(link)
            else:
                self.found.counts[_SPECIAL] += 1

    def _unreadable(self, error: OSError) -> None:
        found = f"cannot be read ({type(error).__name__})"
        fault = BadInputError(str(error.filename), "unreadable folder", found, "a folder or file that you may read")
        self.found.faults.append(fault)
