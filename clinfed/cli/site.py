"""`clinfed site`: what this site was asked and has sent, and what its engineer decides about runs."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import configs
from clinfed.checks import site_log
from clinfed.checks.site import held
from clinfed.cli import add_overrides
from clinfed.clinic import started
from clinfed.clinic.ledger import Ledger
from clinfed.clinic.site import read
from clinfed.manifests import Manifest
from clinfed.refusals import RefusedError

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    log = actions.add_parser("log", help="what was asked, what has left and what was refused, the newest last")
    log.add_argument("--verify", action="store_true", help="only say whether a line was changed or taken out")
    status = actions.add_parser("status", help="one screen: settings, policy, notes, ledger and last runs")
    status.add_argument("--settings", type=Path, default=Path("site.toml"), metavar="FILE", help="the site's site.toml")
    add_overrides(status)
    actions.add_parser("waiting", help="the manifests of runs that wait for approval")
    approve = actions.add_parser("approve", help="let a run start here, by its manifest's file or hash")
    approve.add_argument("manifest", nargs="?", default="", help="without it, those that wait are shown")


def run(args: argparse.Namespace) -> int:
    """Do the action; return 1 where the ledger is broken."""
    if args.action == "log":
        return show_log(verify=args.verify)
    if args.action == "status":
        return show_status(args.settings, args.overrides)
    if args.action == "approve" and args.manifest:
        manifest = started.approve(args.manifest)
        print(f"{shown(manifest)}\napproved; the coordinator can start it now")
        return 0
    found = started.waiting()
    print("\n\n".join(map(shown, found)) if found else "no manifest waits for approval")
    return 0


def show_log(*, verify: bool) -> int:
    """Print the ledger as a table, or whether it is whole."""
    ledger = Ledger()
    try:
        if verify:
            print(f"{ledger.path}: {ledger.verify():,} lines fit together")
            return 0
        lines = ledger.lines()
    except RefusedError as error:
        print(f"clinfed site: {error}", file=sys.stderr)
        return 1
    print(aligned(site_log.rows(lines)) if lines else f"{ledger.path}: nobody has asked this site anything")
    return 0


def show_status(settings: Path, overrides: Sequence[str]) -> int:
    """Print one screen about the site. Raises: UserError for settings that cannot be read."""
    site = read(settings.absolute())
    chosen = configs.load(configs.absolute_paths(overrides, Path.cwd()))
    screen, intact = site_log.status(site, held(site, chosen))
    print(aligned(screen))
    return 0 if intact else 1


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(each).rstrip() for each in cells)


def shown(manifest: Manifest) -> str:
    """Return a manifest as its reader needs it, a few lines."""
    lines = [
        f"{manifest.sha256[:16]}  started by {manifest.started_by} at {manifest.started}",
        f"  code {manifest.code[:16]}  " + "  ".join(f"{name} {value[:16]}" for name, value in manifest.uses.items()),
    ]
    overrides = " ".join(manifest.overrides) or "no override"
    return "\n".join([*lines, *textwrap.wrap(overrides, WIDTH, initial_indent="  ", subsequent_indent="  ")])
