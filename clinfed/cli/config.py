"""`clinfed config [overrides]`: print the run that the overrides give, without starting it."""

import argparse
import json
from pathlib import Path

import configs
from clinfed.cli import add_overrides


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser("config", help="print the resolved run")
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object, not as YAML")


def run(args: argparse.Namespace) -> int:
    """Print the resolved run; raises UserError for overrides that make none."""
    resolved = configs.resolved(configs.load(configs.absolute_paths(args.overrides, Path.cwd())))
    print(json.dumps(resolved, ensure_ascii=False) if args.json else configs.to_yaml(resolved).rstrip())
    return 0
