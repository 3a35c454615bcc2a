"""clinfed report RUN... -o report.html: what was compared, the verdict, tables, plots and highlighted notes.

A RUN is the folder of a run or of a comparison, or that of sweeps, which have a page of their own. Notes are shown of
an invented or public corpus only.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clinfed.cli.options import add_number
from clinfed.errors import UserError
from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.page import Report, ShownNote
from clinfed.evaluation.report.recomputed import verify
from clinfed.experiments.gathered import Found, Given, gather, gather_documents, given
from clinfed.experiments.report import held_by_sites, name_of_shown, report_of, shown_notes
from clinfed.experiments.studies import study_files, sweep_report
from clinfed.runs import documents

SHOWN_NOTES = 30
PAGE = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[NAME=]RUN",
        help="folder of a run, of a comparison or of sweeps; NAME: what its row is called, else what differs",
    )
    parser.add_argument("-o", "--output", type=Path, help=f"the page ({PAGE})")
    add_number(
        parser, "--notes", default=SHOWN_NOTES, help="how many test notes are highlighted", least=0, most=1_000_000
    )
    parser.add_argument(
        "--show-notes-of-this-site",
        action="store_true",
        help="highlight notes of any corpus: only where the page stays with those who may read them",
    )
    parser.add_argument(
        "--by-code",
        nargs=2,
        metavar=("OURS", "THEIRS"),
        default=(),
        help="two rows whose codes are compared (else the federated one and what it is held against)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing; have all scores and differences again from the counts, with -o also what the page says",
    )


def run(args: argparse.Namespace) -> int:
    """Write the report, or verify the runs; return 1 where a score cannot be had again."""
    places = [given(argument) for argument in args.runs]
    if studies := [file for place in places for file in study_files(place.folder)]:
        return write_sweep(studies, places, args)
    found, of_documents = gather(places), gather_documents([place.folder for place in places])
    if args.verify:
        wrong = max(verify_all(found), verify_documents(of_documents))
        if args.output and not found:
            raise UserError(f"-o {args.output}: a page tells of strict spans, and these runs have none; leave -o out")
        return max(
            wrong, verify_tables(report_of(found, of_documents, args.by_code), args.output) if args.output else 0
        )
    if not found:
        raise UserError("no run of strict spans: a page needs one beside those of documents, which comparison.md shows")
    shown = name_of_shown(found)
    path, finished = next((path, each) for path, name, each in found if name == shown)
    private = args.show_notes_of_this_site
    if private and held_by_sites(finished):
        raise UserError(f"{path}: its notes are at the sites, not here; leave --show-notes-of-this-site out")
    notes: list[ShownNote] = []
    try:
        notes = shown_notes(path, finished, args.notes, private=private) if args.notes else []
    except UserError as error:  # the page does not need them: notes or base may be on another machine
        print(f"no notes are shown: {error}", file=sys.stderr)
    corpus = finished.record["config"]["options"]["corpus"]
    report = report_of(found, of_documents, args.by_code)
    report = replace(report, notes=notes, notes_by=f"predicted by {shown}", corpus=corpus)
    for file in report.write(args.output or PAGE):
        print(file)
    return 0


def write_sweep(studies: Sequence[Path], places: Sequence[Given], args: argparse.Namespace) -> int:
    """Write the report of a sweep. Raises: UserError for what a sweep does not have."""
    if others := [place.folder for place in places if not study_files(place.folder)]:
        raise UserError(f"{others[0]}: no sweep, as the others are; a page shows runs or sweeps: give one of the two")
    if args.verify:
        raise UserError("--verify: a sweep keeps no counts to have its scores again from; leave --verify out")
    for file in sweep_report(studies).write(args.output or PAGE):
        print(file)
    return 0


def verify_all(found: Sequence[Found]) -> int:
    """Print what each run's counts give again; return 1 where a score differs."""
    wrong = 0
    for path, name, finished in found:
        different = verify(finished)
        wrong += bool(different)
        again = "all scores again" if finished.validated else "all test scores again"
        print(f"{path}: {name}: {'differs: ' + '; '.join(different) if different else again}")
    return 1 if wrong else 0


def verify_tables(report: Report, page: Path) -> int:
    """Print whether a page and the tables beside it say what the runs give again; return 1 where one does not."""
    different = report.differing(page)
    print(f"{page}: {'differs: ' + '; '.join(different) if different else 'all that it says again'}")
    return 1 if different else 0


def verify_documents(paths: Iterable[Path]) -> int:
    """Print what the counts of each run of `clinfed classify` give again; return 1 where a score differs."""
    wrong = 0
    for path in paths:
        run = next(iter(read_finished([path]).values()))
        different = documents.verify(run.record, run.counts)
        wrong += bool(different)
        print(
            f"{path.parent}: documents: {'differs: ' + '; '.join(different) if different else 'all test scores again'}"
        )
    return 1 if wrong else 0
