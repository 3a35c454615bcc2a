"""Strict span F1 of predicted notes against gold notes, in files of any kind.

Every gold note is evaluated. One that the prediction lacks counts as predicted empty, and is told. A predicted note
that gold lacks is a mistake, unless a skipped bad note of the gold was that one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clinfed.corpus import kinds, predictions
from clinfed.corpus.language import with_language
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import evaluation, merged
from clinfed.evaluation.scores import Evaluation
from clinfed.evaluation.spans import count_spans, evaluated
from clinfed.evaluation.unit_counts import ALL, GroupIntervals, count_units, groups

Tell = Callable[[str], None]  # takes a line on what was skipped


@dataclass(frozen=True)
class Basis:
    """What the scores rest on, in notes. left_out: predictions of notes that --skip-bad has left out of the gold."""

    gold: int
    without_prediction: int
    left_out: int

    def lines(self, scores: Evaluation) -> list[str]:
        """Return a sentence on each thing that a reader of the scores must know."""
        lines = []
        if self.without_prediction:
            found = f"{self.without_prediction:,} of {self.gold:,} gold notes have no prediction"
            lines.append(f"{found}; each counts as predicted empty.")
        if self.left_out:
            lines.append(f"{self.left_out:,} predicted notes are left out, as their gold notes are.")
        if not scores["micro"]["tp"] + scores["micro"]["fn"]:
            lines.append("No gold note holds a mention.")
        return lines


@dataclass(frozen=True)
class Scored:
    """The scores of predictions, and what they rest on."""

    scores: Evaluation
    basis: Basis


def score_files(
    gold_path: Path, pred_path: Path, *, replicates: int = 1000, seed: int = 0, skip_bad: bool = False, tell: Tell
) -> Scored:
    """Return the strict scores of predictions. Raises: UserError for files that cannot be evaluated.

    replicates, seed: of the bootstrap behind the intervals; the same seed pairs two systems.
    """
    # A CoNLL file's ids begin with its own name, in which gold and prediction differ.
    numbered = gold_path.suffix.lower() == pred_path.suffix.lower() == ".conll"
    gold, faulty = _read(gold_path, numbered, skip_bad=skip_bad, tell=tell)
    if not gold:
        raise UserError(
            f"{gold_path}: no note is left to evaluate; expected annotated notes; correct those that are counted"
        )
    gold = [with_language(note) for note in gold]
    predicted = _predicted(pred_path, gold, numbered, skip_bad=skip_bad, tell=tell)
    left_out = predicted.keys() - {note.id for note in gold}
    if len(left_out) <= faulty:  # predictions of notes that --skip-bad has left out of the gold
        predicted = {id_: spans for id_, spans in predicted.items() if id_ not in left_out}
    try:
        scores = score_notes(gold, predicted, replicates=replicates, seed=seed)
    except ValueError as error:
        raise UserError(f"{pred_path}: {error}; expected predictions for the notes of {gold_path}") from None
    return Scored(scores, Basis(len(gold), sum(note.id not in predicted for note in gold), len(left_out)))


def _predicted(
    path: Path, gold: list[Note], numbered: bool, *, skip_bad: bool, tell: Tell
) -> dict[str, tuple[Span, ...]]:
    """Return the predicted spans by note."""
    if not predictions.is_table(path):
        return predictions.from_notes(path, gold, _read(path, numbered, skip_bad=skip_bad, tell=tell)[0])
    skipped: Counter[str] = Counter()
    found = predictions.from_table(path, gold, skip_bad=skip_bad, skipped=skipped)
    predictions.check_table(path, gold, skipped)
    _tell(path, skipped, tell)
    return found


def score_notes(
    gold: Sequence[Note], predicted: Mapping[str, Sequence[Span]], *, replicates: int, seed: int
) -> Evaluation:
    """Return the scores, each clinic that the gold notes name counted apart and merged. predicted: spans by note.

    Raises: ValueError where spans are predicted for a note that gold lacks.
    """
    notes = defaultdict(list)
    for note, each in zip(gold, evaluated(gold, predicted), strict=True):
        notes[note.clinic].append(each)
    counts = {clinic: count_spans(each, replicates=replicates, seed=seed) for clinic, each in notes.items()}
    scores = evaluation(counts or {"": SpanCounts()})
    found = groups(map(count_units, notes.values()), merged(counts), replicates=replicates, seed=seed)
    intervals = {name: GroupIntervals.of_mean([group]) for name, group in found.items()}
    scores["macro_interval"] = intervals.get(ALL, GroupIntervals()).macro
    for band, score in scores["bands"].items():
        score["interval"] = intervals.get(f"codes {band}", GroupIntervals()).micro
    return scores


def _read(path: Path, numbered: bool, *, skip_bad: bool, tell: Tell) -> tuple[list[Note], int]:
    """Return the notes of a file or folder, whichever kind it is, and at most how many were faulty and left out.

    numbered: the number of the block alone is the id.
    """
    kind = kinds.kind_of(path)
    if kind == "text":
        raise UserError(f"{path}: no notes of a known kind; expected {kinds.WHAT}")
    skipped: Counter[str] = Counter()
    notes = list(kinds.read(path, kind, skip_bad=skip_bad, skipped=skipped))
    _tell(path, skipped, tell)
    number = kinds.count(path, kind)
    faulty = skipped.total() if number is None else number - len(notes)
    if numbered:
        notes = [replace(note, id=note.id.rpartition("#")[2]) for note in notes]
    return notes, faulty if skip_bad else 0


def _tell(path: Path, skipped: Counter[str], tell: Tell) -> None:
    for reason, number in sorted(skipped.items()):
        tell(f"{path}: {reason}: {number}")
