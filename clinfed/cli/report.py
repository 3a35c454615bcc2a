"""clinfed report RUN... -o report.html: what was compared, the verdict, tables, plots and highlighted notes.

A RUN is the folder of a run or of a comparison, or that of sweeps, which have a page of their own. Notes are shown of
an invented or public corpus only.
"""

import argparse
import sys
from pathlib import Path

from clinfed.cli.options import add_number
from clinfed.disk import together
from clinfed.errors import UserError
from clinfed.evaluation.report.page import Report
from clinfed.evaluation.report.sweep import SweepReport
from clinfed.experiments.gathered import gather, gather_documents, given
from clinfed.experiments.report import page_of, report_of, sweeps_page
from clinfed.experiments.studies import study_files
from clinfed.experiments.verification import verified_documents, verified_page, verified_runs

SHOWN_NOTES = 30
PAGE = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[NAME=]RUN",
        help="folder of a run, of a comparison or of sweeps; NAME: the name of its row, by default what differs",
    )
    parser.add_argument("-o", "--output", type=Path, help=f"the page ({PAGE})")
    add_number(
        parser, "--notes", default=SHOWN_NOTES, help="how many test notes are highlighted", least=0, most=1_000_000
    )
    parser.add_argument(
        "--show-notes-of-this-site",
        action="store_true",
        help="highlight notes of any corpus: only if nobody sees the page who may not read them",
    )
    parser.add_argument(
        "--by-code",
        nargs=2,
        metavar=("OURS", "THEIRS"),
        default=(),
        help="two rows whose codes are compared (by default the federated one and its opponent)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing; compute all scores and differences again from the counts, with -o also those of the page",
    )


def run(args: argparse.Namespace) -> int:
    """Write the report, or verify the runs; return 1 where a score cannot be had again."""
    places = [given(argument) for argument in args.runs]
    if any(study_files(place.folder) for place in places):
        if args.verify:
            raise UserError(
                "--verify: a sweep keeps no counts, so its scores cannot be computed again; leave --verify out"
            )
        return _write(sweeps_page([place.folder for place in places]), args.output or PAGE)
    found, of_documents = gather(places), gather_documents([place.folder for place in places])
    if args.verify:
        if args.output and not found:
            raise UserError(f"-o {args.output}: a page shows strict spans, and these runs count none; leave -o out")
        looked_at = [*verified_runs(found), *verified_documents(of_documents)]
        if args.output:
            looked_at.append(verified_page(report_of(found, of_documents, args.by_code), args.output))
        print("\n".join(map(str, looked_at)))
        return int(any(each.differing for each in looked_at))
    options = {"notes": args.notes, "private": args.show_notes_of_this_site, "by_code": args.by_code}
    page = page_of(found, of_documents, **options, tell=lambda line: print(line, file=sys.stderr))
    return _write(page, args.output or PAGE)


def _write(report: Report | SweepReport, page: Path) -> int:
    """Write a page with what stands beside it, all or nothing, and print the files."""
    with together(page) as passing:
        files = report.write(passing)
    for file in files:
        print(page.with_name(file.name))
    return 0
