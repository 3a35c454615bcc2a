"""clinfed review OUT --notes FILES: predictions in a browser of this machine, beside the gold where there is some.

    clinfed review found.jsonl --notes notes.jsonl --open

OUT is what `clinfed predict` wrote. Corrections of reviewed notes are saved beside the notes, as JSONL that training
reads. Only who has the printed address can use the page; see docs/using.md.
"""

import argparse
import sys
import tempfile
import threading
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path

from clinfed.cli.options import add_notes, add_number
from clinfed.corpus import forms, titles
from clinfed.corpus.files import given_path
from clinfed.corpus.kinds import WHAT
from clinfed.errors import UserError
from clinfed.experiments.progress import shown
from clinfed.review.access import Address
from clinfed.review.app import listening, make_app, serve
from clinfed.review.desk import BEGUN, REVIEWED, Desk
from clinfed.review.files import WRITTEN, load
from clinfed.review.saved import CorrectionsFile, beside


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("out", type=Path, metavar="OUT", help=WRITTEN)
    add_notes(parser)
    parser.add_argument("--titles", type=Path, help=f"titles of codes, by default those in OUT: {titles.EXPECTED}")
    parser.add_argument(
        "--corrections", type=Path, help="where corrections are saved: *.jsonl, by default beside NOTES"
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help=f"show no page; write reviewed notes as corrected, others as predicted: *{', *'.join(forms.ENDINGS)}",
    )
    add_number(parser, "--port", default=0, help="on 127.0.0.1; by default (0) a free one", least=0, most=65_535)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, or write a file for an annotation tool."""
    if args.export:
        return export(args)
    with ExitStack() as stack:
        bound = stack.enter_context(listening(args.port))
        address = Address(bound.getsockname()[1])
        desk = loaded(args)
        print(f"{address.url}\nOnly this address shows the notes; Ctrl-C ends it.", flush=True)
        print(f"Corrections are saved in {desk.file.path}", flush=True)
        if args.open:
            open_browser(address.url, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        with suppress(KeyboardInterrupt):
            serve(make_app(desk, address), bound)
    if begun := desk.count(BEGUN):
        print(
            f"{begun:,} note(s) begun and not reviewed to their end; their corrections were not saved", file=sys.stderr
        )
    return 0


def export(args: argparse.Namespace) -> int:
    """Write the notes for doccano or Label Studio. Raises: UserError for another ending, or a file that is there."""
    if not (form := forms.form_of_tool(args.export.name)):
        raise UserError(f"--export {args.export}: of no annotation tool; expected *{' or *'.join(forms.ENDINGS)}")
    if args.export.exists():
        raise UserError(f"{args.export}: exists already; expected a new file; name another, or remove it")
    desk = loaded(args)
    forms.WRITERS[form](desk.exported(), args.export)
    reviewed = desk.count(REVIEWED)
    print(f"{args.export}: {len(desk.review.notes):,} notes, {reviewed:,} of them as corrected, the rest as predicted")
    return 0


def loaded(args: argparse.Namespace) -> Desk:
    """Return notes, predictions and earlier corrections. Raises: UserError where they do not belong together."""
    given_path(args.notes, WHAT)
    file = CorrectionsFile(args.corrections or beside(args.notes), args.notes)  # before the notes: they may change now
    named = titles.from_file(args.titles) if args.titles else None
    reading = {"given": args.format, "skip_bad": args.skip_bad, "named": named}
    review = load(args.out, args.notes, **reading, shown=shown, tell=lambda line: print(line, file=sys.stderr))
    return Desk(review, file)


def open_browser(url: str, folder: Path) -> None:
    """Open the page through a file that only this user can read: arguments of a process are for all to see."""
    file = folder / "review.html"
    file.touch(mode=0o600)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
    # A thread, since a browser in the terminal does not return before it is left.
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
