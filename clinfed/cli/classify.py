"""clinfed classify: codes of whole notes, from frozen embeddings and a small classifier that alone is averaged."""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.evaluation.report.documents import document_table, read_finished
from clinfed.experiments.classify import classify
from configs import absolute_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the table as JSON")
    parser.epilog = (
        "classifier.* sets the classifier; base= the encoder, such as base=path base.path=/a/sentence/encoder."
    )


def run(args: argparse.Namespace) -> int:
    """Train and evaluate all systems; progress goes to standard output, with --json to standard error."""
    out = sys.stderr if args.json else sys.stdout
    path = classify(absolute_paths(args.overrides, Path.cwd()), lambda text: print(text, file=out, flush=True))
    if args.json:
        table = document_table(read_finished([path]))
        print(json.dumps(table.rows | {"record": str(path)}), flush=True)
    return 0
