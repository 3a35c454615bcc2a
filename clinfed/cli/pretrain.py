"""`clinfed pretrain`: make a small base from plain text and invented notes, as the embedded one was made."""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed.cli.options import SEED, add_number
from clinfed.errors import UserError
from clinfed.experiments.progress import Bar
from clinfed.settings import DEVICES, check

if TYPE_CHECKING:
    from clinfed.training.pretrain import PretrainSettings

DOCUMENT_LINES = 20  # lines of a one-sentence-a-line file that make one document


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
        "--sentences", action="append", default=[], metavar="NAME=PATH", help="the same, a sentence a line"
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

    sources = {name: _documents(path, sentences=False) for name, path in map(_named, args.text)}
    sources |= {name: _documents(path, sentences=True) for name, path in map(_named, args.sentences)}
    if args.synthetic_seed is not None:
        sources["synthetic"] = _invented(args.synthetic_seed, args.synthetic_patients)
    if not sources:
        raise UserError("clinfed pretrain: no source; give --text NAME=PATH, --sentences NAME=PATH or --synthetic-seed")
    if args.begin is not None and not (args.begin / FACTS).is_file():
        raise UserError(f"clinfed pretrain: no {FACTS} in {args.begin}; expected a folder that clinfed pretrain made")
    settings, out = _settings(args.settings), Path(args.out)
    refuse_absent(args.device)
    with Bar(settings.steps) as bar:

        def report(step: int, loss: float, seconds: float) -> None:
            bar.set(step, f"step {step} of {settings.steps}")
            bar.say(f"step {step:6d}  loss {loss:.3f}  {seconds:.0f} s", sys.stderr)

        facts = pretrain_base(sources, settings, out, begin=args.begin, device=args.device, report=report)
    print(json.dumps(facts, indent=1, sort_keys=True))
    return 0


def _named(option: str) -> tuple[str, Path]:
    name, equals, path = option.partition("=")
    if not equals or not Path(path).exists():
        raise UserError(f"clinfed pretrain: found {option}, expected NAME=PATH of a file or folder that exists")
    return name, Path(path)


def _documents(path: Path, *, sentences: bool) -> list[str]:
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    texts = [file.read_text(encoding="utf-8") for file in files]
    if not sentences:
        return texts
    documents = []
    for text in texts:
        lines = text.splitlines()
        documents += ["\n".join(lines[i : i + DOCUMENT_LINES]) for i in range(0, len(lines), DOCUMENT_LINES)]
    return documents


def _invented(seed: int, patients: int) -> list[str]:
    """Return the texts of invented notes; seed 0 is refused, since its patients are the default corpus itself."""
    from clinfed.corpus.synthetic import generate

    if seed == 0:
        raise UserError("clinfed pretrain: --synthetic-seed 0 is the corpus that runs are judged on; give another seed")
    return [note.text for note in generate(seed=seed, patients=patients)]


def _settings(pairs: list[str]) -> "PretrainSettings":
    from clinfed.training.pretrain import PretrainSettings

    kinds = {field.name: type(field.default) for field in fields(PretrainSettings)}
    values = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in kinds:
            raise UserError(f"unknown setting {key}; expected one of {', '.join(kinds)}")
        try:
            values[key] = kinds[key](value)
        except ValueError:
            raise UserError(f"{pair}: expected a{' whole' if kinds[key] is int else ''} number") from None
    settings = PretrainSettings(**values)
    check("", settings)
    if settings.hidden_size % settings.heads:
        raise UserError(f"hidden_size={settings.hidden_size} heads={settings.heads}: expected a multiple of heads")
    return settings
