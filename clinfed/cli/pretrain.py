"""`clinfed pretrain`: make a small base from plain text and invented notes, as the embedded one was made."""

import argparse
import json
import sys
from pathlib import Path

from clinfed.cli.options import SEED, add_number
from clinfed.errors import UserError
from clinfed.experiments.pretrain import settings_of, sources_of
from clinfed.experiments.progress import Bar
from clinfed.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a source: a .txt file or a folder of them",
    )
    parser.add_argument(
        "--sentences", action="append", default=[], metavar="NAME=PATH", help="the same, with one sentence a line"
    )
    add_number(parser, "--synthetic-seed", help="add invented notes of this seed (never 0)", **SEED)
    add_number(
        parser, "--synthetic-patients", default=320, help="of how many invented patients", least=1, most=1_000_000
    )
    parser.add_argument("--begin", type=Path, metavar="FOLDER", help="train this base of an earlier call further")
    parser.add_argument("--out", required=True, help="folder of the new base")
    parser.add_argument("--device", default="cpu", choices=DEVICES[:2], help="cpu (default) or cuda")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="such as steps=10000 layers=4")


def run(args: argparse.Namespace) -> int:
    """Read the sources, pretrain, save; print the facts for the model card as JSON."""
    from clinfed.training.device import refuse_absent
    from clinfed.training.pretrain import FACTS, pretrain_base

    sources = sources_of(args.text, args.sentences, args.synthetic_seed, args.synthetic_patients)
    if args.begin is not None and not (args.begin / FACTS).is_file():
        raise UserError(f"no {FACTS} in {args.begin}; expected a folder that clinfed pretrain made")
    settings, out = settings_of(args.settings), Path(args.out)
    refuse_absent(args.device)
    with Bar(settings.steps) as bar:

        def report(step: int, loss: float, seconds: float) -> None:
            bar.set(step, f"step {step} of {settings.steps}")
            bar.say(f"step {step:6d}  loss {loss:.3f}  {seconds:.0f} s", sys.stderr)

        facts = pretrain_base(sources, settings, out, begin=args.begin, device=args.device, report=report)
    print(json.dumps(facts, indent=1, sort_keys=True))
    return 0
