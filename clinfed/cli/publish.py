"""clinfed publish RUN -o FOLDER: a run's adapter as others may have it, with card and audit file, without local paths.

    clinfed publish runs/20261121T114255-ca24befd -o diagnoses-es-ca

The folder is loaded by transformers and peft alone: its load.py and its card show how.
"""

import argparse
from pathlib import Path

from clinfed.errors import UserError
from clinfed.experiments.adapted import open_adapter, refuse_without_mentions
from clinfed.experiments.publish import publish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="a folder that does not exist yet"
    )
    parser.add_argument("--license", default="", help="of the adapter, as the clinics agreed; by default the base's")
    parser.add_argument("--base", default="", metavar="FOLDER", help="the base's files, if they are elsewhere")
    parser.add_argument("--base-at", default="", metavar="WORDS", help="where readers find the base, if not on the hub")


def run(args: argparse.Namespace) -> int:
    """Write the folder; raises UserError where the run is not whole or the folder is there already."""
    if args.output.exists():
        raise UserError(f"{args.output}: exists already; expected a new folder; name another, or remove it")
    adapted = open_adapter(args.run, base_path=args.base)
    refuse_without_mentions(adapted)  # the card and load.py speak of mentions
    if adapted.record is None:
        raise UserError(f"{args.run}: no record.json beside its adapter; expected the folder of a run; give that")
    publish(adapted, args.output, license_=args.license, where=args.base_at)
    for file in sorted(args.output.iterdir()):
        print(file)
    return 0
