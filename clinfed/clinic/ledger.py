"""A site's ledger: each question that a coordinator has asked, and how much left in answer, across all runs.

CLINIC/ledger/ledger.jsonl, one JSON object a line (clinfed.clinic.chain): questions, answers and refusals. A question
is written down before it is worked on: a kill in the middle loses no entry.

    ledger = Ledger()
    ledger.admit(asked, most_tests=20)  # or RefusedError: nothing is read, trained or counted
    ledger.answered(asked, tensor_bytes=1_048_576, counts=120)
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clinfed import protocol
from clinfed.clinic.chain import SETTING, Chain
from clinfed.home import clinic_folder
from clinfed.refusals import RefusedError
from configs import Run, resolved

TOKEN = re.compile(r"[0-9a-f]{32}")  # of a run's key and a nonce
LONGEST_CLAIM = 64  # characters kept of what a refused question says of itself
LONGEST_OVERRIDES = 2000  # characters; the settings' hash covers all of them
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
class Origin:
    """Where a question comes from.

    flower_run: the number of the run at the coordinator, and overrides: its text, both as the coordinator says.
    started_by: as the run's signed manifest says, and its hash; "" where this site asks for none.
    """

    flower_run: int = 0
    overrides: str = ""
    started_by: str = ""
    manifest: str = ""

    def entry(self, *, overrides: bool) -> dict[str, Any]:
        """Return what the ledger says of it; the overrides are long, and stand once in a run."""
        told = {"flower_run": self.flower_run, "started_by": self.started_by, "manifest": self.manifest}
        return told | ({"overrides": self.overrides[:LONGEST_OVERRIDES]} if overrides else {})


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
    origin: Origin = field(default_factory=Origin)

    @property
    def subjects(self) -> list[str]:
        """Return what a run asks about one adapter only.

        That is a round's training, with or without its validation; a round's validation; the validation with
        replicates; and the test evaluation.
        """
        if self.kind == protocol.HELLO:
            return []
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
        self.chain = Chain(self.path)

    def admit(self, asked: Asked, *, most_tests: int = 0) -> None:
        """Write a question down. Raises: RefusedError where it was asked before with other content, or too often.

        A resumed run asks again: the same question about the same adapter is answered again and counts once.
        most_tests: runs whose adapter may be evaluated on the clinic's test notes; 0: no limit.
        """
        greets = asked.kind == protocol.HELLO  # it comes before the run has a key
        if not (TOKEN.fullmatch(asked.nonce) and (greets or TOKEN.fullmatch(asked.run))):
            _refuse("without a run key and a nonce of 32 hexadecimal digits")
        with self.chain.held() as chain:
            if chain.has_nonce(asked.clinic, asked.nonce):
                _refuse("with a nonce that was used before: it repeats an old message")
            run = [] if greets else [each for each in chain.of_run(asked.clinic, asked.run) if _is_question(each)]
            if any(line["settings"] != asked.settings for line in run):
                _refuse("with other settings than this run began with")
            same = [line for line in run if {*line["subjects"]} & {*asked.subjects}]
            if any(line["adapter"] != asked.adapter for line in same):
                _refuse(f"to {asked.kind} again in round {asked.round_index}, with another adapter")
            tests = chain.runs_on(asked.clinic, "test") if asked.split == "test" else set()
            if most_tests and asked.run not in tests and len(tests) >= most_tests:
                _refuse(f"for test evaluation {len(tests) + 1}; the policy allows {most_tests}")
            entry = {name: value for name, value in asdict(asked).items() if name != "origin"}
            said = asked.origin.entry(overrides=not run)
            chain.append({"what": "question", **entry, **said, "subjects": asked.subjects, "repeated": bool(same)})

    def answered(self, asked: Asked, **sent: Any) -> None:
        """Write down what leaves, such as tensor_bytes, counts and figures."""
        entry = {"what": "answer", "kind": asked.kind, "clinic": asked.clinic, "run": asked.run, "nonce": asked.nonce}
        with self.chain.held() as chain:
            chain.append({**entry, **asked.origin.entry(overrides=False), **sent})

    def refused(self, setting: str, kind: str, question: Mapping[str, Any], origin: Origin) -> None:
        """Write down a refusal. question: as it came, which may be anything."""
        told = {name: str(question.get(name, ""))[:LONGEST_CLAIM] for name in ("round", "nonce")}
        told["run"] = str(question.get(protocol.RUN_KEY, ""))[:LONGEST_CLAIM]
        with self.chain.held() as chain:
            chain.append({"what": "refusal", "setting": setting, "kind": kind, **told, **origin.entry(overrides=True)})

    def lines(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first. Raises: RefusedError where the chain is broken, naming the line."""
        return list(self.chain.lines())

    def verify(self) -> int:
        """Return the number of entries. Raises: RefusedError naming the first line that was changed or taken out."""
        return self.chain.verify()


def _is_question(line: Mapping[str, Any]) -> bool:
    return bool(line["what"] == "question")


def _refuse(asked: str) -> None:
    raise RefusedError(SETTING, f"the coordinator asks {asked}; nothing was read, trained or counted")
