"""`clinfed score --gold G --pred P`: strict span F1 of predicted notes against gold notes, in files of any kind.

    clinfed score --gold codiesp/dev --pred predictions.jsonl --json

The kind is seen from the path: *.jsonl; *.conll; *.tsv or a folder with text_files/ (CodiEsp; as prediction the table
alone will do, also in the four columns of the task's own evaluation); *.ann, *.txt or a folder with *.ann (BRAT). Every
gold note is judged; one that the prediction lacks counts as predicted empty, and is told; a predicted note that gold
lacks is a mistake, unless --skip-bad has left that one out of the gold. Where both bring texts, they must be the same.
A score of neither gold nor prediction is undefined: "-", in JSON null. With --json: micro {tp, fp, fn, precision,
recall, f1}, macro, by_language, by_clinic and bands as in a run record; 95% intervals of micro-F1 (interval), also in
by_language and bands, and of macro-F1 over the codes of gold or prediction (macro_interval); notes {gold,
without_prediction, left_out}.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clinfed.cli.options import SEED, add_number
from clinfed.corpus import kinds, predictions
from clinfed.corpus.language import with_language
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import judgement, merged
from clinfed.evaluation.report.tables import scores_table
from clinfed.evaluation.scores import Judgement
from clinfed.evaluation.spans import count_spans, judged
from clinfed.evaluation.unit_counts import ALL, GroupIntervals, count_units, groups


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser("score", help="strict span F1 of predicted notes against gold notes")
    parser.add_argument("--gold", required=True, type=Path, help=f"annotated notes: {kinds.WHAT}")
    parser.add_argument("--pred", required=True, type=Path, help="the same notes, predicted")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_number(
        parser, "--replicates", default=1000, help="of the bootstrap behind the interval", least=1, most=1_000_000
    )
    add_number(parser, "--seed", default=0, help="of the bootstrap; the same one pairs two systems", **SEED)
    parser.add_argument("--skip-bad", action="store_true", help="count bad notes on standard error and go on")


def run(args: argparse.Namespace) -> int:
    """Print the scores; raises UserError for files that cannot be judged."""
    if args.replicates < 1:
        raise UserError(f"--replicates {args.replicates}: expected 1 or more")
    # A CoNLL file's ids begin with its own name, in which gold and prediction differ.
    numbered = args.gold.suffix.lower() == args.pred.suffix.lower() == ".conll"
    gold, faulty = _read(args.gold, numbered, skip_bad=args.skip_bad)
    if not gold:
        raise UserError(
            f"{args.gold}: no note is left to judge; expected annotated notes; correct those that are counted"
        )
    gold = [with_language(note) for note in gold]
    predicted = _predicted(args.pred, gold, numbered, skip_bad=args.skip_bad)
    left_out = predicted.keys() - {note.id for note in gold}
    if len(left_out) <= faulty:  # predictions of notes that --skip-bad has left out of the gold
        predicted = {id_: spans for id_, spans in predicted.items() if id_ not in left_out}
    try:
        scores = _judge(gold, predicted, replicates=args.replicates, seed=args.seed)
    except ValueError as error:
        raise UserError(f"{args.pred}: {error}; expected predictions for the notes of {args.gold}") from None
    basis = Basis(len(gold), sum(note.id not in predicted for note in gold), len(left_out))
    if args.json:
        print(json.dumps({**scores, "notes": asdict(basis)}, ensure_ascii=False))
    else:
        print("\n".join([scores_table({"predicted, all gold": scores}), *basis.lines(scores)]))
    return 0


@dataclass(frozen=True)
class Basis:
    """What the scores rest on, in notes. left_out: predictions of notes that --skip-bad has left out of the gold."""

    gold: int
    without_prediction: int
    left_out: int

    def lines(self, scores: Judgement) -> list[str]:
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


def _predicted(path: Path, gold: list[Note], numbered: bool, *, skip_bad: bool) -> dict[str, tuple[Span, ...]]:
    """Return the predicted spans by note; what was skipped goes to standard error."""
    if not predictions.is_table(path):
        return predictions.from_notes(path, gold, _read(path, numbered, skip_bad=skip_bad)[0])
    skipped: Counter[str] = Counter()
    found = predictions.from_table(path, gold, skip_bad=skip_bad, skipped=skipped)
    predictions.check_table(path, gold, skipped)
    _tell(path, skipped)
    return found


def _judge(gold: list[Note], predicted: dict[str, tuple[Span, ...]], *, replicates: int, seed: int) -> Judgement:
    """Return the scores, each clinic that the gold notes name counted apart and merged."""
    notes = defaultdict(list)
    for note, each in zip(gold, judged(gold, predicted), strict=True):
        notes[note.clinic].append(each)
    counts = {clinic: count_spans(each, replicates=replicates, seed=seed) for clinic, each in notes.items()}
    scores = judgement(counts or {"": SpanCounts()})
    found = groups(map(count_units, notes.values()), merged(counts), replicates=replicates, seed=seed)
    intervals = {name: GroupIntervals.of_mean([group]) for name, group in found.items()}
    scores["macro_interval"] = intervals.get(ALL, GroupIntervals()).macro
    for band, score in scores["bands"].items():
        score["interval"] = intervals.get(f"codes {band}", GroupIntervals()).micro
    return scores


def _read(path: Path, numbered: bool, *, skip_bad: bool) -> tuple[list[Note], int]:
    """Return the notes of a file or folder, whichever kind it is, and at most how many were faulty and left out.

    What was skipped goes to standard error. numbered: the number of the block alone is the id.
    """
    kind = kinds.kind_of(path)
    if kind == "text":
        raise UserError(f"{path}: no notes of a known kind; expected {kinds.WHAT}")
    skipped: Counter[str] = Counter()
    notes = list(kinds.read(path, kind, skip_bad=skip_bad, skipped=skipped))
    _tell(path, skipped)
    number = kinds.count(path, kind)
    faulty = skipped.total() if number is None else number - len(notes)
    if numbered:
        notes = [replace(note, id=note.id.rpartition("#")[2]) for note in notes]
    return notes, faulty if skip_bad else 0


def _tell(path: Path, skipped: Counter[str]) -> None:
    for reason, number in sorted(skipped.items()):
        print(f"{path}: {reason}: {number}", file=sys.stderr)
