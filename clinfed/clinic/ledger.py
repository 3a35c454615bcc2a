"""A site's ledger: each question that a coordinator has asked, and how much left in answer, across all runs.

CLINIC/ledger/ledger.jsonl, one JSON object a line, appended only. Each line carries the hash of itself and the line
before it, so that a line that is changed or taken out shows. A question is written down before it is worked on: a kill
in the middle loses no entry.

    ledger = Ledger()
    ledger.admit(asked, most_tests=20)  # or RefusedError: nothing is read, trained or counted
    ledger.answered(asked, tensor_bytes=1_048_576, counts=120)
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinfed import protocol
from clinfed.home import clinic_folder
from clinfed.refusals import RefusedError
from configs import Run, resolved

TOKEN = re.compile(r"[0-9a-f]{32}")  # of a run's key and a nonce
FIRST = "0" * 64  # stands where the first line has no line before it
SETTING = "ledger"
FREE = ("resume", "backend", "wait_for_clients", "round", "output", "tracking")  # groups and keys of a run

# (kind, split, test_evaluation, replicates) of the questions that a run asks; there is no other.
KNOWN = {
    (protocol.TRAIN, "", False, False),
    (protocol.TRAIN, "validation", False, False),
    (protocol.EVALUATE, "validation", False, False),
    (protocol.EVALUATE, "validation", False, True),
    (protocol.EVALUATE, "test", True, True),
}


@dataclass(frozen=True)
class Asked:
    """One question as the ledger keeps it.

    adapter: SHA-256 of the tensors that were sent. settings: SHA-256 of the run as the site reads it.
    """

    clinic: str
    run: str
    kind: str
    round_index: int
    split: str
    adapter: str
    settings: str
    nonce: str
    replicates: bool = False
    started_by: str = ""  # as the run's manifest says, and its hash; "" where this site asks for none
    manifest: str = ""

    @property
    def subjects(self) -> list[str]:
        """Return what a run asks about one adapter only.

        That is a round's training, with or without its validation; a round's validation; the validation with
        replicates; and the test evaluation.
        """
        if self.split == "test":
            return ["test"]
        each = [f"{self.kind} {self.round_index}"]
        return [*each, "validation with replicates"] if self.replicates else each


def settings_of(run: Run) -> str:
    """Return the hash of all that shapes a run's answers; how long and for whom the coordinator waits does not."""
    values = {key: value for key, value in resolved(run).items() if key not in FREE}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def refuse_unknown(kind: str, question: Mapping[str, Any], rounds: int) -> None:
    """Raise RefusedError for what no run asks: another split, a round outside 1 to rounds, a test in between.

    question: the record protocol.QUESTION of a message to train or to evaluate.
    """
    split = str(question["split"])
    tested, replicates = bool(question["test_evaluation"]), bool(question["replicates"])
    if (kind, split, tested, replicates) not in KNOWN:
        _refuse(
            f"to {kind} on split {split[:20]!r}, test_evaluation={tested} replicates={replicates}: no run asks that"
        )
    if not 1 <= int(question["round"]) <= rounds:
        _refuse(f"for round {int(question['round'])}, expected 1 to {rounds}")


class Ledger:
    """The ledger of this account's clinics."""

    def __init__(self, path: Path | None = None) -> None:
        """path: of the file; None: where the account keeps it."""
        self.path = path or clinic_folder("ledger") / "ledger.jsonl"

    def admit(self, asked: Asked, *, most_tests: int = 0) -> None:
        """Write a question down. Raises: RefusedError where it was asked before with other content, or too often.

        A resumed run asks again: the same question about the same adapter is answered again and counts once.
        most_tests: runs whose adapter may be evaluated on the clinic's test notes; 0: no limit.
        """
        if not (TOKEN.fullmatch(asked.run) and TOKEN.fullmatch(asked.nonce)):
            _refuse("without a run key and a nonce of 32 hexadecimal digits")
        with self._held() as (lines, size):
            before = [line for line in lines if line["what"] == "question" and line["clinic"] == asked.clinic]
            if any(line["nonce"] == asked.nonce for line in before):
                _refuse("with a nonce that was used before: it repeats an old message")
            run = [line for line in before if line["run"] == asked.run]
            if any(line["settings"] != asked.settings for line in run):
                _refuse("with other settings than this run began with")
            same = [line for line in run if {*line["subjects"]} & {*asked.subjects}]
            if any(line["adapter"] != asked.adapter for line in same):
                _refuse(f"to {asked.kind} again in round {asked.round_index}, with another adapter")
            tests = {line["run"] for line in before if line["split"] == "test"}
            if asked.split == "test" and most_tests and asked.run not in tests and len(tests) >= most_tests:
                _refuse(f"for test evaluation {len(tests) + 1}; the policy allows {most_tests}")
            entry = {**asdict(asked), "subjects": asked.subjects, "repeated": bool(same)}
            self._append({"what": "question", **entry}, lines, size)

    def answered(self, asked: Asked, *, tensor_bytes: int, counts: int) -> None:
        """Write down what leaves: bytes of tensors, and how many numbers the counts hold."""
        with self._held() as (lines, size):
            entry = {"what": "answer", "clinic": asked.clinic, "run": asked.run, "nonce": asked.nonce}
            self._append({**entry, "tensor_bytes": tensor_bytes, "counts": counts}, lines, size)

    def lines(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first. Raises: RefusedError where the chain is broken, naming the line."""
        return self._read()[0]

    def _read(self) -> tuple[list[dict[str, Any]], int]:
        """Return all entries, and how many bytes of the file they are."""
        if not self.path.exists():
            return [], 0
        raw = self.path.read_bytes()
        whole, _, _ = raw.rpartition(b"\n")  # what follows was cut off by a kill or a full disk
        found: list[dict[str, Any]] = []
        last = FIRST
        for number, text in enumerate(whole.split(b"\n") if whole else [], 1):
            try:
                line = json.loads(text)
                intact = line["chain"] == chained(last, line)
            except (ValueError, KeyError, TypeError):
                intact = False
            if not intact:
                found_line = f"{self.path}:{number}: this line was changed, or the one before it taken out"
                raise RefusedError(SETTING, f"{found_line}; find out who did it, then move the file away")
            found.append(line)
            last = line["chain"]
        return found, len(whole) + bool(whole)

    @contextmanager
    def _held(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Hold the file against other processes of this account; yields its entries and their bytes."""
        from filelock import FileLock

        with FileLock(f"{self.path}.lock"):
            yield self._read()

    def _append(self, entry: dict[str, Any], lines: list[dict[str, Any]], size: int) -> None:
        """Append an entry to these lines of this many bytes; it is on the disk before anything is done for it."""
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **entry}
        line = json.loads(json.dumps(line))
        line["chain"] = chained(lines[-1]["chain"] if lines else FIRST, line)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(size)  # a line that was cut off goes
            file.seek(size)
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def chained(last: str, line: Mapping[str, Any]) -> str:
    """Return the hash of a line after the one whose hash is `last`."""
    rest = {key: value for key, value in line.items() if key != "chain"}
    return hashlib.sha256((last + json.dumps(rest, sort_keys=True)).encode()).hexdigest()


def _refuse(asked: str) -> None:
    raise RefusedError(SETTING, f"the coordinator asks {asked}; nothing was read, trained or counted")
