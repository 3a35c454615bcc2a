"""clinfed compare compare.seeds=5: centralised, federated and local-only training on one budget, in one table."""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.evaluation.report.tables import listed
from clinfed.evaluation.report.terminal import wrapped
from clinfed.experiments.compare import compare
from configs import absolute_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the table as JSON")
    parser.add_argument("--table", action="store_true", help="show what is finished, run nothing")
    parser.epilog = (
        "compare.seeds=N repeats every row N times (default 1). compare.rows=federated,centralised runs these rows "
        "only; `clinfed compare --table` names all. Any other override holds for every row."
    )


def run(args: argparse.Namespace) -> int:
    """Run what is pending and print the table; return 1 where a run failed."""
    out = sys.stderr if args.json else sys.stdout
    found = compare(absolute_paths(args.overrides, Path.cwd()), out, only_table=args.table)
    print(found.table.text, file=out)
    for row, seeds in found.absent.items():
        print(*wrapped([f"{row}: dealt no training note with seed {listed(seeds)}"]), sep="\n", file=out)
    print(f"comparison: {found.file}", file=out, flush=True)
    if args.json:
        print(json.dumps(found.table.rows | {"folder": str(found.folder)}), flush=True)
    return 1 if found.failed else 0
