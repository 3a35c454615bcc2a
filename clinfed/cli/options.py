"""Options that several commands have; numbers with the same limits and one line of refusal as settings."""

import argparse
from pathlib import Path
from typing import Any

from clinfed.corpus import kinds
from clinfed.errors import UserError
from clinfed.settings import MOST_SEED, expected, refuse_outside

SEED = {"least": 0, "most": MOST_SEED}
PORT = {"least": 1, "most": 65_535}
THREADS = {"least": 1, "most": 1_024}


class Number(argparse.Action):
    """An option that takes a number inside its limits."""

    def __init__(self, *args: Any, kind: type[int] | type[float] = int, limits: dict[str, Any], **keywords: Any):
        super().__init__(*args, **keywords)
        self.kind, self.limits = kind, limits

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Keep the number. Raises: UserError for a text that is none, or a number outside of the limits."""
        setattr(namespace, self.dest, self.number(str(values), option or self.dest))

    def number(self, text: str, option: str) -> float:
        """Return the number that a text says."""
        try:
            value = self.kind(text)
        except ValueError:
            whole = "a whole number, " if self.kind is int else "a number, "
            raise UserError(f"{option}={text}: expected {whole}{expected(self.limits)}") from None
        refuse_outside(option, value, self.limits)
        return value


def add_number(
    parser: argparse.ArgumentParser,
    *names: str,
    help: str,
    default: float | None = None,
    kind: type[int] | type[float] = int,
    **limits: float,
) -> None:
    """Add an option for a number; the help says what it may be."""
    said = f"{help}; {expected(limits)}"
    parser.add_argument(*names, action=Number, kind=kind, limits=limits, default=default, help=said)


def add_adapter(parser: argparse.ArgumentParser) -> None:
    """Add what every command that uses a trained adapter takes."""
    parser.add_argument("--adapter", required=True, type=Path, metavar="RUN_OR_FOLDER", help="a run, or its adapter")
    parser.add_argument("--base", default="", metavar="FOLDER", help="the base's files, if they are elsewhere")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


def add_notes(parser: argparse.ArgumentParser) -> None:
    """Add which notes are read, and how."""
    parser.add_argument("--notes", required=True, type=Path, metavar="FILES", help=f"{kinds.WHAT}, or *.txt")
    parser.add_argument("--format", choices=kinds.KINDS, help="by default told from the path; text: *.txt only")
    parser.add_argument("--skip-bad", action="store_true", help="count bad notes and go on")
