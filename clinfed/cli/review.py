"""clinfed review OUT --notes FILES: predictions in a browser of this machine, beside the gold where there is some.

    clinfed review found.jsonl --notes notes.jsonl --open

OUT is what `clinfed predict` wrote. Only who has the printed address can read the page; see docs/using.md.
"""

import argparse
import sys
import tempfile
import threading
import webbrowser
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from clinfed.cli.options import add_notes, add_number
from clinfed.corpus import findings, kinds, predictions, titles
from clinfed.corpus.language import with_languages
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.experiments.progress import shown
from clinfed.review.app import listening, make_app, serve
from clinfed.review.door import Address
from clinfed.review.notes import Review

WRITTEN = "what `clinfed predict` wrote: *.jsonl, *.tsv, or a folder with *.ann"
Predicted = Mapping[str, Sequence[Span]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("out", type=Path, metavar="OUT", help=WRITTEN)
    add_notes(parser)
    parser.add_argument("--titles", type=Path, help=f"titles of codes, by default those in OUT: {titles.EXPECTED}")
    add_number(parser, "--port", default=0, help="on 127.0.0.1; by default (0) a free one", least=0, most=65_535)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    with ExitStack() as stack:
        bound = stack.enter_context(listening(args.port))
        address = Address(bound.getsockname()[1])
        app = make_app(load(args), address)
        print(f"{address.url}\nOnly this address shows the notes; Ctrl-C ends it.", flush=True)
        if args.open:
            open_browser(address.url, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        with suppress(KeyboardInterrupt):
            serve(app, bound)
    return 0


def load(args: argparse.Namespace) -> Review:
    """Return notes and predictions. Raises: UserError where they do not belong together."""
    named = titles.from_file(args.titles) if args.titles else None
    kind = kind_of(args.out)
    skipped: Counter[str] = Counter()
    given = args.format or kinds.kind_of(args.notes)
    read = kinds.read(args.notes, given, skip_bad=args.skip_bad, skipped=skipped)
    notes = list(shown(with_languages(read), kinds.count(args.notes, given)))
    if predictions.is_table(args.out):
        predicted = predictions.from_table(args.out, notes, skip_bad=args.skip_bad, skipped=skipped)
        predictions.check_table(args.out, notes, skipped)
    else:
        copies = kinds.read(args.out, kind, skip_bad=args.skip_bad, skipped=skipped)
        predicted = predictions.from_notes(args.out, notes, copies)
    for reason, number in sorted(skipped.items()):
        print(f"{reason}: {number}", file=sys.stderr)
    check(args.out, args.notes, notes, predicted)
    said = findings.read(args.out, kind)
    return Review.of(notes, predicted, titles=named or titles_of(notes, predicted, said), said=said)


def kind_of(out: Path) -> str:
    """Return the kind of predictions. Raises: UserError where `clinfed predict` writes no such thing."""
    kind = "codiesp" if predictions.is_table(out) else kinds.kind_of(out)
    if kind not in ("jsonl", "brat", "codiesp"):
        raise UserError(f"{out}: no predictions; expected {WRITTEN}")
    return kind


def check(out: Path, source: Path, notes: Sequence[Note], predicted: Predicted) -> None:
    """Say where OUT lacks notes. Raises: UserError where it is of other notes."""
    given = {note.id for note in notes}
    if unknown := len(predicted.keys() - given):
        found = f"{unknown:,} of {len(predicted):,} predicted notes are not among the {len(notes):,} of {source}"
        raise UserError(f"{out}: {found}; expected predictions of these notes; name the file that predict had read")
    absent = len(given - predicted.keys())
    if absent and not predictions.is_table(out):  # a table has no rows of notes without mentions
        print(f"{out}: lacks {absent:,} of {len(notes):,} notes; shown as if nothing was found", file=sys.stderr)


def titles_of(notes: Sequence[Note], predicted: Predicted, said: findings.Said) -> titles.Titles:
    """Return the titles in OUT, by the note's language where it has one there, else what is known of the codes."""
    written = findings.titles_in(said, {note.id: note.language for note in notes})
    gold = {span.code for note in notes for span in note.spans}
    known = titles.known(gold | {span.code for spans in predicted.values() for span in spans})

    def title(code: str, language: str) -> str:
        return written.get((code, language)) or known(code, language) or written.get((code, ""), "")

    return title


def open_browser(url: str, folder: Path) -> None:
    """Open the page through a file that only this user can read: arguments of a process are for all to see."""
    file = folder / "review.html"
    file.touch(mode=0o600)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
    # A thread, since a browser in the terminal does not return before it is left.
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
