"""clinfed adapt --adapter RUN_OR_FOLDER --notes FILES -o FOLDER [overrides]: make the global adapter a site's own.

    clinfed adapt --adapter diagnoses-es-ca --notes notes.jsonl -o ours training.local_epochs=3

Training goes on from the global adapter over the site's training notes, in the one training loop. Both are then
evaluated on the site's test notes, which are split off by patient. Everything stays on this machine.
"""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.cli.options import add_adapter, add_notes
from clinfed.errors import UserError
from clinfed.experiments.adapt import adapt, cache_for, read_clinic, write
from clinfed.experiments.adapted import open_adapter, refuse_without_mentions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_adapter(parser)
    add_notes(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="a folder that does not exist yet"
    )
    parser.add_argument("--json", action="store_true", help="last line of standard output: the results as JSON")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate both adapters, write the folder; print progress, with --json on standard error."""
    if args.output.exists():
        raise UserError(f"{args.output}: exists already; expected a new folder; name another, or remove it")
    out = sys.stderr if args.json else sys.stdout
    adapted = open_adapter(args.adapter, base_path=args.base)
    refuse_without_mentions(adapted)
    clinic = read_clinic(args.notes, args.format, adapted, skip_bad=args.skip_bad)
    cache = cache_for(adapted, args.base, args.device, args.overrides)
    result = adapt(cache, clinic, adapted.state, lambda text: print(text, file=out, flush=True))
    report = result.report(adapted.state, clinic)
    write(args.output, cache, clinic, adapted, report)
    print(result.text(), file=out)
    print(f"written: {args.output}", file=out)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    return 0
