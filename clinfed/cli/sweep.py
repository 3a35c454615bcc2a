"""clinfed sweep --trials 20 --row adapter=lora --row adapter=dora: choose settings on validation notes."""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.cli.options import add_number
from clinfed.experiments.sweep import SPACE, sweep, sweeps_folder
from configs import absolute_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    add_number(
        parser,
        "--trials",
        default=20,
        help="trials of each row, including those of earlier calls (%(default)s)",
        least=1,
        most=100_000,
    )
    parser.add_argument(
        "--row", action="append", default=[], help='overrides of a row to compare, such as "adapter=dora adapter.r=8"'
    )
    parser.add_argument("--space", type=Path, default=SPACE, help="YAML: key: {low, high, log} or {choices}")
    parser.add_argument("--json", action="store_true", help="last line of standard output: the rows as JSON")


def run(args: argparse.Namespace) -> int:
    """Search each row and print its best trial."""
    out = sys.stderr if args.json else sys.stdout
    rows = sweep(absolute_paths(args.overrides, Path.cwd()), args.row, args.trials, args.space, out)
    for each in rows:
        settings = " ".join(f"{key}={value}" for key, value in each["settings"].items())
        found = f"validation F1 {each['validation_f1']:.3f}, {each['trials']} trials"
        print(f"{each['row']}: {found}: {settings}", file=out)
    print(f"sweep: {sweeps_folder()}", file=out)
    if args.json:
        print(json.dumps(rows), flush=True)
    return 0
