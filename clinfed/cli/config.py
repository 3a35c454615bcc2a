"""`clinfed config [overrides]`: print the run that the overrides give, without starting it; or all keys there are."""

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import configs
from clinfed.cli import add_overrides

if TYPE_CHECKING:
    from configs.meanings import Key

ALL = "all"
GAP = "  "
EXPECTED_WIDTH, LEAST_MEANING_WIDTH = 34, 24  # characters of a line; a narrower terminal wraps it itself
FALLBACK_WIDTH = 120  # of a pipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object, not as YAML")
    parser.add_argument(
        "--help-keys",
        nargs="?",
        const=ALL,
        metavar="GROUP",
        help="list all keys, or those of a group such as training, with default, expected value and meaning",
    )


def run(args: argparse.Namespace) -> int:
    """Print the resolved run, or the keys; raises UserError for overrides that make none."""
    if args.help_keys:
        from configs.meanings import groups, keys_of

        listed = {group: keys_of(group) for group in (groups() if args.help_keys == ALL else [args.help_keys])}
        if args.json:
            print(json.dumps([vars(key) for keys in listed.values() for key in keys], ensure_ascii=False))
        else:
            rows = [_row(key) for keys in listed.values() for key in keys]
            print("\n".join(table([("key", "default", "expected", "meaning"), *rows])))
        return 0
    resolved = configs.resolved(configs.load(configs.absolute_paths(args.overrides, Path.cwd())))
    print(json.dumps(resolved, ensure_ascii=False) if args.json else configs.to_yaml(resolved).rstrip())
    return 0


def _row(key: "Key") -> tuple[str, str, str, str]:
    having = f" (of {', '.join(key.having)})" if key.having else ""
    return key.name, key.default, key.expected, f"{key.meaning}{having}"


def table(rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield the lines of a table whose last two columns are wrapped."""
    rows = list(rows)
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    width = shutil.get_terminal_size((FALLBACK_WIDTH, 0)).columns
    left = max(LEAST_MEANING_WIDTH, width - first - second - EXPECTED_WIDTH - 3 * len(GAP))
    for name, default, expected, meaning in rows:
        wrapped = [
            textwrap.wrap(cell, room, break_on_hyphens=False)
            for cell, room in ((expected, EXPECTED_WIDTH), (meaning, left))
        ]
        cells = ([name], [default], *wrapped)
        for line in zip_longest(*cells, fillvalue=""):
            padded = (cell.ljust(space) for cell, space in zip(line, (first, second, EXPECTED_WIDTH, 0), strict=True))
            yield GAP.join(padded).rstrip()
