"""A file of JSON lines, appended only, in which each line carries the hash of itself and the line before it.

A line that is changed or taken out shows. Beside the file stands an index (SQLite), which finds a run's lines without
reading the others, and remembers how long the file was: lines taken from its end show, too. Without the index the
whole file is read and verified once, and the index made anew.

    with Chain(path).held() as chain:
        chain.of_run("north", run)  # each is compared with its hash
        chain.append({"what": "question", "clinic": "north", "run": run})
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from clinfed.refusals import RefusedError

FIRST = "0" * 64  # stands where the first line has no line before it
SETTING = "ledger"
COLUMNS = ("what", "clinic", "run", "split", "nonce")  # what the index knows of a line beside where it is
TABLE = """
CREATE TABLE IF NOT EXISTS line (
    start INTEGER PRIMARY KEY, length INTEGER, number INTEGER, before TEXT,
    what TEXT, clinic TEXT, run TEXT, split TEXT, nonce TEXT
);
CREATE INDEX IF NOT EXISTS by_run ON line (clinic, run);
CREATE INDEX IF NOT EXISTS by_nonce ON line (clinic, nonce);
CREATE INDEX IF NOT EXISTS by_split ON line (clinic, split, run);
"""

Line = dict[str, Any]


def chained(last: str, line: Mapping[str, Any]) -> str:
    """Return the hash of a line after the one whose hash is `last`."""
    rest = {key: value for key, value in line.items() if key != "chain"}
    return hashlib.sha256((last + json.dumps(rest, sort_keys=True)).encode()).hexdigest()


def checked(text: bytes, last: str) -> Line | None:
    """Return a line that follows the one whose hash is `last`; None where it does not."""
    with suppress(ValueError, KeyError, TypeError):
        line = json.loads(text)
        if line["chain"] == chained(last, line):
            return dict(line)
    return None


class Chain:
    """The file and its index. Methods but `lines` and `held` want the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: sqlite3.Connection

    @contextmanager
    def held(self) -> Iterator["Chain"]:
        """Hold the file against other processes of this account. Raises: RefusedError where lines were changed."""
        from filelock import FileLock

        with FileLock(f"{self.path}.lock"):
            try:
                self._open()
            except sqlite3.DatabaseError:  # an index that is damaged is made anew
                self._index_path.unlink()
                self._open()
            with closing(self._index):
                yield self

    def lines(self) -> Iterator[Line]:
        """Yield all lines that are whole, oldest first. Raises: RefusedError naming the first that does not fit."""
        if not self.path.exists():
            return
        last = FIRST
        with self.path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    return  # cut off by a kill or a full disk
                line = checked(text, last)
                if line is None:
                    raise self._broken(number, "this line was changed, or the one before it taken out")
                yield line
                last = line["chain"]

    def verify(self) -> int:
        """Return how many lines fit together. Raises: RefusedError naming the first that does not."""
        count = sum(1 for _ in self.lines())
        with self.held():  # lines that its index knows and the file lacks
            return count

    def of_run(self, clinic: str, run: str) -> list[Line]:
        """Return a run's lines of a clinic, each compared with its hash."""
        return self._read("clinic = ? AND run = ?", clinic, run)

    def has_nonce(self, clinic: str, nonce: str) -> bool:
        """Return whether a question of a clinic has this nonce."""
        return bool(self._read("clinic = ? AND nonce = ? AND what = 'question'", clinic, nonce))

    def runs_on(self, clinic: str, split: str) -> set[str]:
        """Return the runs that have asked a clinic about a split."""
        found = self._index.execute("SELECT DISTINCT run FROM line WHERE clinic = ? AND split = ?", (clinic, split))
        return {run for (run,) in found}

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; it is on the disk before anything is done for it."""
        end, number, last = self._end()
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **entry}
        line = json.loads(json.dumps(line))
        line["chain"] = chained(last, line)
        text = json.dumps(line).encode() + b"\n"
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(end)  # a line that was cut off goes
            file.seek(end)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._note(end, len(text), number + 1, last, line)
        self._index.commit()

    @property
    def _index_path(self) -> Path:
        return self.path.with_suffix(".index")

    def _open(self) -> None:
        """Open the index and add the lines that it lacks. Raises: RefusedError, sqlite3.DatabaseError."""
        os.close(os.open(self._index_path, os.O_RDWR | os.O_CREAT, 0o600))
        self._index = sqlite3.connect(self._index_path)
        try:
            self._index.execute("PRAGMA synchronous = OFF")  # it can be made anew
            self._index.executescript(TABLE)
            self._refuse_rewritten()
            end, number, last = self._end()
            if self.path.exists():
                with self.path.open("rb") as file:
                    file.seek(end)
                    for text in file:
                        if not text.endswith(b"\n"):
                            break
                        number += 1
                        line = checked(text, last)
                        if line is None:
                            raise self._broken(number, "this line was changed, or the one before it taken out")
                        self._note(end, len(text), number, last, line)
                        end, last = end + len(text), line["chain"]
            self._index.commit()
        except BaseException:
            self._index.close()
            raise

    def _refuse_rewritten(self) -> None:
        """Raise RefusedError where the last line that the index knows is no longer there."""
        try:
            self._read("start = (SELECT max(start) FROM line)")
        except RefusedError:
            for _ in self.lines():  # names the first line that is broken
                pass
            raise

    def _end(self) -> tuple[int, int, str]:
        """Return where the next line begins, how many stand before it, and the hash of the last."""
        last = self._read("start = (SELECT max(start) FROM line)")
        if not last:
            return 0, 0, FIRST
        [found] = self._index.execute("SELECT start + length, number FROM line ORDER BY start DESC LIMIT 1")
        return *found, str(last[0]["chain"])

    def _read(self, where: str, *values: str) -> list[Line]:
        """Return lines of the file. where: a condition of ours. Raises: RefusedError where one does not fit."""
        found = self._index.execute(
            f"SELECT start, length, number, before FROM line WHERE {where} ORDER BY start", values
        ).fetchall()
        lines: list[Line] = []
        if not found:
            return lines
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for start, length, number, before in found:
                file.seek(start)
                line = checked(file.read(length), before)
                if line is None:
                    raise self._broken(number, "this line was changed or taken out")
                lines.append(line)
        if not lines:
            raise self._broken(found[0][2], "the file is gone")
        return lines

    def _note(self, start: int, length: int, number: int, before: str, line: Line) -> None:
        known = [str(line.get(name, "")) for name in COLUMNS]
        self._index.execute(
            "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (start, length, number, before, *known)
        )

    def _broken(self, number: int, found: str) -> RefusedError:
        advice = f"find out who did it, then move it and {self._index_path.name} away"
        return RefusedError(SETTING, f"{self.path}:{number}: {found}; {advice}")
