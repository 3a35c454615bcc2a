"""`clinfed runs`: list the finished and interrupted runs of this machine, name one, remove some."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clinfed.errors import UserError
from clinfed.evaluation.report.tables import fraction
from clinfed.home import runs_folder
from clinfed.runs.library import ListedRun, find, folders, give_name, listed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.set_defaults(json=False)
    actions = parser.add_subparsers(dest="action", metavar="action")
    listing = actions.add_parser("list", help="the runs, newest first (the default)")
    listing.add_argument("--json", action="store_true", help="print one JSON list")
    naming = actions.add_parser("name", help="give a run a name that is easier to read than its folder's")
    naming.add_argument("run", metavar="RUN", help="a run's folder, or its name")
    naming.add_argument("name", metavar="NAME", help='the new name; "" removes it')
    removing = actions.add_parser("remove", help="delete the folders of runs")
    removing.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name")
    removing.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    if args.action == "name":
        give_name(find(args.run), args.name)
    elif args.action == "remove":
        return remove([find(name) for name in args.runs], ask=not args.yes)
    else:
        found = [listed(folder) for folder in folders()]
        print(json.dumps([asdict(each) for each in found]) if args.json else table(found))
    return 0


def remove(chosen: Sequence[Path], *, ask: bool) -> int:
    """Delete the folders; return 1 where the user says no. Raises: UserError without a terminal to ask."""
    for folder in chosen:
        print(f"{folder}  {size(listed(folder).size_bytes)}")
    if ask and not sys.stdin.isatty():
        raise UserError("remove: no terminal to ask for confirmation; pass --yes to delete these folders")
    if ask and input(f"Delete {len(chosen)} folder(s)? [y/N] ").strip().lower() != "y":
        return 1
    for folder in chosen:
        shutil.rmtree(folder)
    return 0


def table(found: Sequence[ListedRun]) -> str:
    """Return the runs as a table, a line each."""
    if not found:
        return f"no run in {runs_folder()}; `clinfed simulate` makes one"
    rows = [("run", "name", "started", "system", "rounds", "F1", "size", "by"), *map(_row, found)]
    if not any(each.started_by for each in found):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(each: ListedRun) -> tuple[str, ...]:
    rounds = str(each.rounds) if each.started else ""
    f1 = "-" if each.f1 is None else fraction(each.f1)
    system = each.system or "interrupted"
    return (
        Path(each.folder).name,
        each.name,
        each.started[:16],
        system,
        rounds,
        f1,
        size(each.size_bytes),
        each.started_by,
    )


def size(size_bytes: int) -> str:
    """Return bytes as people read them: 950 B, 12 kB, 3.4 MB, 1.2 GB."""
    if size_bytes < 1_000_000:
        return f"{size_bytes} B" if size_bytes < 1000 else f"{size_bytes / 1000:.0f} kB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"
