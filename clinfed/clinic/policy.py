"""A site's own policy: what has to stand behind an update, and what of it stays frozen. No override loosens it.

    Policy().refuse_small(clinic)  # or RefusedError: too few training notes or patients stand behind an update
    rare = rare_codes(clinic.split("train"), clinic.codes, Policy().small_cell_threshold)  # their rows stay frozen

A code of fewer patients than the threshold and a code that no patient has are treated alike: the head's rows of both
stay as they came, and mentions of the rare code teach where a mention is, not which code it has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinfed.corpus.note import Note
from clinfed.refusals import RefusedError
from clinfed.settings import check, setting

if TYPE_CHECKING:
    from torch import nn

    from clinfed.tasks.base import Row, Task
    from clinfed.training.encoded import Encoded
    from clinfed.training.loop import TrainResult

FIGURES = 2  # significant digits of the totals in a report from which a note's length could be told
ROUNDED = ("tokens", "padded_tokens", "training_peak_bytes", "inference_peak_bytes")


@dataclass(frozen=True)
class Policy:
    """The floors of a site. Each default is the project's own choice; docs/sites.md says what each costs."""

    least_notes: int = setting(20, help="training notes that stand behind an update", least=0)
    least_patients: int = setting(10, help="patients of the training notes", least=0)
    least_steps: int = setting(5, help="steps of a round: one step tells its batch", least=0)
    small_cell_threshold: int = setting(
        5, help="patients below which a code is named in no count, and its rows of the head stay frozen", least=0
    )
    replicates: int = setting(20, help="patients that bootstrap replicates are drawn from", least=0)
    test_evaluations: int = setting(20, help="runs whose adapter the test notes may evaluate; 0: no limit", least=0)
    embeddings: bool = setting(False, help="whether a run may train embeddings: moved rows are the notes' sub-words")

    def __post_init__(self) -> None:
        check("policy", self)

    def refuse_small(self, notes: Sequence[Note]) -> None:
        """Raise RefusedError where too few training notes or patients stand behind an update.

        A clinic without any training note sits out and is not refused.
        """
        if not notes:
            return
        if len(notes) < self.least_notes:
            raise RefusedError("least_notes", f"{len(notes)} training notes, the policy asks for {self.least_notes}")
        if (patients := len({note.unit for note in notes})) < self.least_patients:
            raise RefusedError("least_patients", f"{patients} patients, the policy asks for {self.least_patients}")

    def refuse_embeddings(self, encoder: "nn.Module") -> None:
        """Raise RefusedError where the run trains the encoder's embeddings."""
        from torch import nn

        if self.embeddings:
            return
        for name, module in encoder.named_modules():
            is_table = isinstance(getattr(module, "base_layer", module), nn.Embedding)
            if is_table and any(each.requires_grad for each in module.parameters()):
                raise RefusedError("embeddings", f"the run trains {name}, the policy keeps embeddings frozen")

    def refuse_few_steps(self, result: "TrainResult") -> None:
        """Raise RefusedError where a round made too few steps."""
        if result.steps < self.least_steps:
            raise RefusedError("least_steps", f"{result.steps} steps a round, the policy asks for {self.least_steps}")


@dataclass(frozen=True)
class Masked:
    """A clinic's training examples in which mentions of rare codes name no code."""

    encoded: "Encoded"
    task: "Task"
    rare: frozenset[int]
    num_codes: int

    @property
    def lengths(self) -> list[int]:
        """Return the number of sub-words of each example."""
        return self.encoded.lengths

    @cached_property
    def rows(self) -> "list[Row]":
        """Return the examples."""
        return self.task.without_codes(self.encoded.rows, self.rare, self.num_codes)

    def __len__(self) -> int:
        return len(self.encoded)


def rare_codes(notes: Iterable[Note], codes: Sequence[str], threshold: int) -> frozenset[int]:
    """Return the numbers of the codes that fewer patients have than the threshold, also of those that none has."""
    having: defaultdict[str, set[str]] = defaultdict(set)
    for note in notes:
        for span in note.spans:
            having[span.code].add(note.unit)
    return frozenset(number for number, code in enumerate(codes) if len(having[code]) < threshold)


def rounded(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report whose totals of sub-words and bytes have two significant digits."""

    def short(value: int) -> int:
        digits = len(str(abs(value)))
        return int(round(value, FIGURES - digits))

    return {name: short(int(value)) if name in ROUNDED else value for name, value in report.items()}
