"""`clinfed score --gold G --pred P`: strict span F1 of predicted notes against gold notes, in files of any kind.

    clinfed score --gold codiesp/dev --pred predictions.jsonl --json

The kind is seen from the path: *.jsonl; *.conll; *.tsv or a folder with text_files/ (CodiEsp; as prediction the table
alone will do); *.ann, *.txt or a folder with *.ann (BRAT). Every gold note is judged; one that the prediction lacks
counts as predicted empty; a predicted note that gold lacks is a mistake. With --json: micro {tp, fp, fn, precision,
recall, f1}, macro, by_language, by_clinic and bands as in a run record; 95% intervals of micro-F1 (interval), also in
by_language and bands, and of macro-F1 over the codes of gold or prediction (macro_interval).
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from clinfed.cli.options import SEED, add_number
from clinfed.corpus import kinds, predictions
from clinfed.corpus.language import with_language
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.record import Judgement, judgement, merged
from clinfed.evaluation.report.tables import scores_table
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
    numbered = args.gold.suffix == args.pred.suffix == ".conll"
    gold = [with_language(note) for note in _read(args.gold, numbered, skip_bad=args.skip_bad)]
    if predictions.is_table(args.pred):
        predicted = predictions.from_table(args.pred)
    else:
        predicted = predictions.from_notes(args.pred, gold, _read(args.pred, numbered, skip_bad=args.skip_bad))
    try:
        scores = _judge(gold, predicted, replicates=args.replicates, seed=args.seed)
    except ValueError as error:
        raise UserError(f"{args.pred}: {error}; expected predictions for the notes of {args.gold}") from None
    print(json.dumps(scores, ensure_ascii=False) if args.json else scores_table({"predicted, all gold": scores}))
    return 0


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


def _read(path: Path, numbered: bool, *, skip_bad: bool) -> list[Note]:
    """Return the notes of a file or folder, whichever kind it is; what was skipped goes to standard error.

    numbered: the number of the block alone is the id.
    """
    skipped: Counter[str] = Counter()
    notes = list(_notes(path, skip_bad, skipped))
    for reason, number in sorted(skipped.items()):
        print(f"{path}: {reason}: {number}", file=sys.stderr)
    return [replace(note, id=note.id.rpartition("#")[2]) for note in notes] if numbered else notes


def _notes(path: Path, skip_bad: bool, skipped: Counter[str]) -> Iterable[Note]:
    kind = kinds.kind_of(path)
    if kind == "text":
        raise UserError(f"{path}: no notes of a known kind; expected {kinds.WHAT}")
    return kinds.read(path, kind, skip_bad=skip_bad, skipped=skipped)
