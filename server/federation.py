"""Who takes part, from what each clinic says in its hello, and on what it must agree before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinfed import fingerprints
from clinfed.errors import UserError
from clinfed.protocol import Answer
from clinfed.tasks import learnable
from server.wire.asked import ClinicHandle
from server.wire.hello import read_json


@dataclass(frozen=True)
class Federation:
    """The clinics that take part, sorted by name; one without notes of a split sits out where that split is used."""

    handles: tuple[ClinicHandle, ...]
    notes: Mapping[str, Mapping[str, int]]  # clinic -> split -> notes
    manifest: Mapping[str, Any]
    unrepresentable: Mapping[str, Mapping[str, int]]  # split -> reason -> mentions that flat tagging cannot hold
    skipped: Mapping[str, Mapping[str, int]]  # clinic -> reason -> what reading left out
    usable: Mapping[str, int]  # clinic -> what the task can learn from: training mentions, where it needs them
    sitting_out: int  # nodes without any notes
    workers: Mapping[str, int]  # worker -> base loads so far

    def without_mentions(self) -> list[str]:
        """Return what to say of each clinic that trains but holds no mention that can be trained."""
        return [
            learnable.missing(
                handle.clinic,
                self.notes[handle.clinic]["train"],
                self.skipped[handle.clinic],
                int(handle.registered["train_mentions"]),
            )
            for handle in self.with_notes("train")
            if not self.usable[handle.clinic]
        ]

    def with_notes(self, split: str) -> tuple[ClinicHandle, ...]:
        """Return the clinics that hold notes of a split."""
        return tuple(handle for handle in self.handles if self.notes[handle.clinic][split])


def complaint(answer: Answer, ours: Mapping[str, str], *, remote: bool) -> str:
    """Return why a clinic may not come in: other fingerprints than the server's, foreign code; "" where it may.

    remote: it is on another machine, whose folders are its own affair and no text for the server's screen.
    """
    ours_root = str(fingerprints.root_of("clinfed"))
    theirs = {name: str(answer.identity.get(f"fingerprint.{name}", "missing")) for name in ours}
    roots = "" if remote else str(answer.identity.get("roots", ""))
    foreign = [root for root in roots.split("\n") if root not in ("", ours_root)]
    if theirs["code"] != ours["code"] and foreign:
        return (
            f"foreign code on its path: it imports from {foreign[0]}, the server from {ours_root}; start from another "
            "folder, or use `clinfed simulate`, which starts from a neutral one"
        )
    return fingerprints.mismatch(ours, theirs)


def federation_of(answers: Mapping[int, Answer], *, needs_mentions: bool) -> Federation:
    """Return the federation of these nodes, from their hellos.

    needs_mentions: of the task. Raises: UserError where nobody has training notes, or nobody has a mention in them that
    can be trained.
    """
    named = sorted((answer.clinic, node, answer) for node, answer in answers.items() if answer.clinic)
    notes = {
        clinic: {split: int(answer.report[f"{split}_notes"]) for split in ("train", "validation", "test")}
        for clinic, _, answer in named
    }
    if not any(each["train"] for each in notes.values()):
        raise UserError("no clinic holds a training note; look at corpus.path, and at corpus.train_fraction")
    unrepresentable: dict[str, dict[str, int]] = {}
    for _, _, answer in named:
        for split, reasons in read_json(answer, "unrepresentable").items():
            for reason, count in reasons.items():
                unrepresentable.setdefault(split, {}).setdefault(reason, 0)
                unrepresentable[split][reason] += count
    federation = Federation(
        handles=tuple(ClinicHandle(clinic, node, answer.report) for clinic, node, answer in named),
        notes=notes,
        manifest={clinic: read_json(answer, "manifest") for clinic, _, answer in named},
        unrepresentable=unrepresentable,
        skipped={clinic: read_json(answer, "skipped") for clinic, _, answer in named},
        usable={clinic: _usable(answer) if needs_mentions else 1 for clinic, _, answer in named},
        sitting_out=len(answers) - len(named),
        workers={str(answer.identity["worker"]): int(answer.report["base_loads"]) for answer in answers.values()},
    )
    empty = federation.without_mentions()
    if len(empty) == len(federation.with_notes("train")):
        raise UserError(f"no mention to learn from: {'; '.join(empty)}; {learnable.REMEDY}")
    return federation


def _usable(answer: Answer) -> int:
    """Return the training mentions that tags can hold."""
    lost: dict[str, int] = read_json(answer, "unrepresentable").get("train", {})
    return max(0, int(answer.report["train_mentions"]) - sum(lost.values()))
