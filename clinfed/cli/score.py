"""`clinfed score --gold G --pred P`: strict span F1 of predicted notes against gold notes, in files of any kind.

    clinfed score --gold codiesp/dev --pred predictions.jsonl --json

The kind is seen from the path: *.jsonl; *.conll; *.tsv or a folder with text_files/ (CodiEsp; as prediction the table
alone will do, also in the four columns of the task's own evaluation); *.ann, *.txt or a folder with *.ann (BRAT). Every
gold note is evaluated; one that the prediction lacks counts as predicted empty, and is told; a predicted note that gold
lacks is a mistake, unless --skip-bad has left that one out of the gold. Where both bring texts, they must be the same.
A score of neither gold nor prediction is undefined: "-", in JSON null. With --json: micro {tp, fp, fn, precision,
recall, f1}, macro, by_language, by_clinic and bands as in a run record; 95% intervals of micro-F1 (interval), also in
by_language and bands, and of macro-F1 over the codes of gold or prediction (macro_interval); notes {gold,
without_prediction, left_out}.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from clinfed.cli.options import SEED, add_number
from clinfed.corpus import kinds
from clinfed.evaluation.files import score_files
from clinfed.evaluation.report.tables import scores_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--gold", required=True, type=Path, help=f"annotated notes: {kinds.WHAT}")
    parser.add_argument("--pred", required=True, type=Path, help="the same notes, predicted")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_number(
        parser, "--replicates", default=1000, help="of the bootstrap behind the interval", least=1, most=1_000_000
    )
    add_number(parser, "--seed", default=0, help="of the bootstrap; the same one pairs two systems", **SEED)
    parser.add_argument("--skip-bad", action="store_true", help="count bad notes on standard error and go on")


def run(args: argparse.Namespace) -> int:
    """Print the scores; raises UserError for files that cannot be evaluated."""
    options = {"replicates": args.replicates, "seed": args.seed, "skip_bad": args.skip_bad}
    scored = score_files(args.gold, args.pred, **options, tell=lambda line: print(line, file=sys.stderr))
    if args.json:
        print(json.dumps({**scored.scores, "notes": asdict(scored.basis)}, ensure_ascii=False))
    else:
        print("\n".join([scores_table({"predicted, all gold": scored.scores}), *scored.basis.lines(scored.scores)]))
    return 0
