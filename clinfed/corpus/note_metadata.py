"""What metadata.jsonl says of texts that cannot say it themselves: language, patient, clinic and split, by note id.

It has one object a line. The id is the note's path below the folder that the file stands in: the folder that is read,
one inside it, or the one above. A line that names no note is a fault. Ids are compared composed (NFC): some file
systems and archives decompose the names of files.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clinfed.corpus import fields as schema
from clinfed.corpus import jsonlines, walking
from clinfed.corpus.files import decode_line, read_lines
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.walking import METADATA_FILE, Listing

_KNOWN = ("id", *jsonlines.METADATA)


class NoteMetadata:
    """The metadata of a folder's notes; a faulty line is raised by the note that needs it."""

    def __init__(self, found: Listing, ids: Sequence[str], skipped: Counter[str]) -> None:
        """Read the files. ids: of the notes. skipped: counts a file above that says nothing of them."""
        self._fields: dict[str, dict[str, str]] = {}
        self._places: dict[str, str] = {}
        self._fault: BadInputError | None = None
        self._known = {_composed(id_) for id_ in ids}
        self._elsewhere: list[BadInputError] = []
        top = _in(found.root)
        self.files = {file for file in found.files if walking.is_metadata(file)} | ({top} if top else set())
        for file in sorted(self.files):
            inside = file.parent.relative_to(found.root).as_posix()
            for where, fields in self._objects(file, skipped):
                self._enter(where, fields, "" if inside == "." else f"{inside}/", skipped)
        if top is None:
            self._read_above(Path(os.path.abspath(found.root)), skipped)

    def _objects(self, file: Path, skipped: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            for where, line in read_lines(file, skipped):
                try:
                    fields = jsonlines.parse_object(where, decode_line(where, line))
                    if not jsonlines.string(where, fields, "id"):
                        raise BadInputError(where, "broken metadata", "no id", "the id of a note")
                except BadInputError as fault:
                    self._fault = self._fault or fault
                else:
                    yield where, fields
        except BadInputError as fault:  # the file cannot be read
            self._fault = self._fault or fault

    def _enter(self, where: str, fields: dict[str, Any], prefix: str, skipped: Counter[str]) -> None:
        id_ = _composed(prefix + fields["id"])
        try:
            if id_ in self._fields:
                raise BadInputError(where, "broken metadata", "an id that stood before", "one line for each note")
            self._fields[id_] = jsonlines.parse_metadata(where, fields)
            self._places[id_] = where
            schema.count_unknown(fields, _KNOWN, skipped, f" of {METADATA_FILE}", named=False)
        except BadInputError as fault:
            self._fault = self._fault or fault

    def _read_above(self, root: Path, skipped: Counter[str]) -> None:
        """Read the lines for this folder in the file of the folder above: their ids begin with this one's name."""
        file = _in(root.parent) if root.parent != root else None
        if file is None:
            return
        lines = list(self._objects(file, skipped))
        own = _composed(f"{root.name}/")
        ours = [(where, fields) for where, fields in lines if _composed(fields["id"]).startswith(own)]
        for where, fields in ours:
            self._enter(where, fields | {"id": _composed(fields["id"]).removeprefix(own)}, "", skipped)
        if not ours:
            self._fault = None  # of other notes
            if any(_composed(fields["id"]) in self._known for _, fields in lines):
                found = "stands in the folder above, and its ids lack the name of the folder that is read"
                expected = "this file inside the folder that is read"
                self._elsewhere.append(BadInputError(str(file), "metadata not read", found, expected))
            else:
                skipped[f"{METADATA_FILE} of the folder above (names no note here)"] += 1

    def strays(self) -> list[BadInputError]:
        """Return the faults of the lines that name none of the notes, and of a file whose lines were not understood."""
        expected = "the note's path below the folder of this file, without .txt"
        return self._elsewhere + [
            BadInputError(where, "metadata without note", "the line's id names no note", expected)
            for id_, where in self._places.items()
            if id_ not in self._known
        ]

    def of(self, id_: str) -> dict[str, str]:
        """Return the note's metadata; a note without any may be the one whose line is faulty, so that is raised."""
        if _composed(id_) not in self._fields and self._fault:
            raise self._fault
        return self._fields.get(_composed(id_), {})


def _in(folder: Path) -> Path | None:
    """Return the folder's own file of metadata, in capitals or not."""
    try:
        return next((each for each in sorted(folder.iterdir()) if walking.is_metadata(each)), None)
    except OSError:
        return None


def _composed(id_: str) -> str:
    return unicodedata.normalize("NFC", id_)
