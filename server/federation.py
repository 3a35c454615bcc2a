"""Who takes part: the first exchange with every node, and what it must agree on before anything is trained."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clinfed import fingerprints
from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.protocol import Answer
from configs import Run
from server.exchange import Exchange, Seat
from server.quarantine import is_manifest, is_tallies, is_tally
from server.replies import read_json

NODES_LIMIT_S = 120.0  # for all SuperNodes to be online; simulated ones are there at once
PAUSE_S = 0.05


@dataclass(frozen=True)
class Federation:
    """The clinics that take part, sorted by name; one without notes of a split sits out where that split is used."""

    seats: tuple[Seat, ...]
    notes: Mapping[str, Mapping[str, int]]  # clinic -> split -> notes
    manifest: Mapping[str, Any]
    lost: Mapping[str, Mapping[str, int]]  # split -> reason -> mentions that flat tagging cannot hold
    skipped: Mapping[str, Mapping[str, int]]  # clinic -> reason -> what reading left out
    sitting_out: int  # nodes without any notes
    workers: Mapping[str, int]  # worker -> base loads so far

    def with_notes(self, split: str) -> tuple[Seat, ...]:
        """Return the clinics that hold notes of a split."""
        return tuple(seat for seat in self.seats if self.notes[seat.clinic][split])


def gather(exchange: Exchange, run: Run, *, expected: Callable[[], tuple[AdapterState, dict[str, str]]]) -> Federation:
    """Say hello to all nodes, in a simulation as many as there are, else run.clinics (at least one).

    expected: makes the server's first state and fingerprints; called while the clinics load theirs.
    Raises: UserError where a node is missing, fails, or runs something else.
    """
    nodes = _await_nodes(exchange, max(1, run.clinics))
    asked = exchange.ask_hello(nodes)
    _, ours = expected()
    answers = dict(exchange.read_hello(asked))
    simulated = max(int(answer.report["nodes"]) for answer in answers.values())
    late = [node for node in _await_nodes(exchange, simulated) if node not in answers]
    answers |= dict(exchange.read_hello(exchange.ask_hello(late)))
    for node, answer in answers.items():
        _check(node, answer, ours)
    return _seated(answers)


def _await_nodes(exchange: Exchange, count: int) -> list[int]:
    deadline = time.monotonic() + NODES_LIMIT_S
    while len(nodes := exchange.nodes()) < count:
        if time.monotonic() > deadline:
            raise UserError(
                f"{len(nodes)} SuperNode(s) online after {NODES_LIMIT_S:.0f} s, the run needs {count}; start the "
                "others, give --federation-config num-supernodes=..., or set clinics="
            )
        time.sleep(PAUSE_S)
    return nodes


def _check(node: int, answer: Answer, ours: Mapping[str, str]) -> None:
    """Refuse a clinic whose fingerprints are not the server's; foreign code is named with both paths."""
    who = answer.clinic or f"of node {node}"
    ours_root = str(fingerprints.root_of("clinfed"))
    theirs = {name: str(answer.identity.get(f"fingerprint.{name}", "missing")) for name in ours}
    foreign = [root for root in str(answer.identity.get("roots", "")).split("\n") if root not in ("", ours_root)]
    if theirs["code"] != ours["code"] and foreign:
        raise UserError(
            f"foreign code on the path of clinic {who}: it imports from {foreign[0]}, the server from {ours_root}; "
            "start from another folder, or use `clinfed simulate`, which starts from a neutral one"
        )
    fingerprints.refuse_mismatch(ours, theirs, who)


def _seated(answers: Mapping[int, Answer]) -> Federation:
    seated = sorted((answer.clinic, node, answer) for node, answer in answers.items() if answer.clinic)
    names = [clinic for clinic, _, _ in seated]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two SuperNodes call themselves {twice[0]}; give each its own name in its node_config")
    notes = {
        clinic: {split: int(answer.report[f"{split}_notes"]) for split in ("train", "validation", "test")}
        for clinic, _, answer in seated
    }
    if not any(each["train"] for each in notes.values()):
        raise UserError("no clinic holds a training note; look at corpus.path, and at corpus.train_fraction")
    lost: dict[str, dict[str, int]] = {}
    for _, _, answer in seated:
        for split, reasons in read_json(answer, "lost", is_tallies).items():
            for reason, count in reasons.items():
                lost.setdefault(split, {}).setdefault(reason, 0)
                lost[split][reason] += count
    return Federation(
        seats=tuple(Seat(clinic, node, answer.report) for clinic, node, answer in seated),
        notes=notes,
        manifest={clinic: read_json(answer, "manifest", is_manifest) for clinic, _, answer in seated},
        lost=lost,
        skipped={clinic: read_json(answer, "skipped", is_tally) for clinic, _, answer in seated},
        sitting_out=len(answers) - len(seated),
        workers={str(answer.identity["worker"]): int(answer.report["base_loads"]) for answer in answers.values()},
    )
