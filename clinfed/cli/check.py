"""clinfed check --settings site.toml: is this site ready, before anything is joined."""

import argparse
import json
import os
import shutil
from collections import Counter
from pathlib import Path

from clinfed.checks.finding import LEVELS, table
from clinfed.checks.site import Asked, all_findings
from clinfed.cli import add_overrides
from clinfed.cli.options import PORT, add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Look at this machine, its base, its notes and the way to the coordinator. Nothing is joined, "
        "trained or downloaded, and no word of a note is shown. Exit code 1 where something fails."
    )
    parser.epilog = (
        "Example: clinfed check --settings /etc/clinfed/site.toml --superlink coordinator.example.org:8000 "
        "--root-certificates ca.crt --key north.key base=mbert adapter=qlora. The overrides are those that the "
        "coordinator will use. Without --settings: the machine, the base and the code, as on the coordinator."
    )
    add_overrides(parser)
    parser.add_argument("--settings", type=Path, metavar="FILE", help="the site's site.toml")
    parser.add_argument("--superlink", metavar="HOST:PORT", help="where the coordinator listens")
    parser.add_argument("--root-certificates", type=Path, metavar="FILE", help="ca.crt of the federation")
    parser.add_argument("--key", type=Path, metavar="FILE", help="this site's private key, such as north.key")
    parser.add_argument("--base-fingerprint", default="", metavar="HEX", help="what the coordinator's check prints")
    add_number(parser, "--port", default=9094, help="where the SuperNode will listen (default %(default)s)", **PORT)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where one of them fails. Raises: UserError for arguments that make no sense."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a base that is not here is a finding, and no reason to fetch it
    asked = Asked(
        overrides=args.overrides,
        settings=args.settings,
        superlink=args.superlink,
        root_certificates=args.root_certificates,
        key=args.key,
        base_fingerprint=args.base_fingerprint,
        port=args.port,
    )
    findings = all_findings(asked)
    counts = Counter(each.level for each in findings)
    ready = not counts["fail"]
    if args.json:
        print(json.dumps({"ready": ready, "findings": [each.as_dict() for each in findings]}))
    else:
        print(table(findings, shutil.get_terminal_size((120, 24)).columns))
        print(", ".join(f"{counts[level]} {level}" for level in LEVELS) + f": {'ready' if ready else 'not ready'}")
    return 0 if ready else 1
