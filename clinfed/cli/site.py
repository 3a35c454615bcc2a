"""`clinfed site`: what a site's engineer decides about runs that ask to start here."""

import argparse
import textwrap

from clinfed.clinic import started
from clinfed.manifests import Manifest

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    actions.add_parser("waiting", help="the manifests of runs that wait for approval")
    approve = actions.add_parser("approve", help="let a run start here, by its manifest's file or hash")
    approve.add_argument("manifest", nargs="?", default="", help="without it, those that wait are shown")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action == "approve" and args.manifest:
        manifest = started.approve(args.manifest)
        print(f"{shown(manifest)}\napproved; the coordinator can start it now")
        return 0
    found = started.waiting()
    print("\n\n".join(map(shown, found)) if found else "no manifest waits for approval")
    return 0


def shown(manifest: Manifest) -> str:
    """Return a manifest as its reader needs it, a few lines."""
    lines = [
        f"{manifest.sha256[:16]}  started by {manifest.started_by} at {manifest.started}",
        f"  code {manifest.code[:16]}  " + "  ".join(f"{name} {value[:16]}" for name, value in manifest.uses.items()),
    ]
    overrides = " ".join(manifest.overrides) or "no override"
    return "\n".join([*lines, *textwrap.wrap(overrides, WIDTH, initial_indent="  ", subsequent_indent="  ")])
