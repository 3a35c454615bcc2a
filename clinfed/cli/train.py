"""clinfed train rounds=3 adapter.r=16: the same training in one place, over all notes and epochs, without Flower."""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.experiments.train import train
from clinfed.runs import record as records
from configs import absolute_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Train and evaluate; progress goes to standard output, with --json to standard error."""
    out = sys.stderr if args.json else sys.stdout
    path = train(absolute_paths(args.overrides, Path.cwd()), lambda text: print(text, file=out, flush=True))
    if args.json:
        print(json.dumps(records.summary(records.read(path), path)), flush=True)
    return 0
