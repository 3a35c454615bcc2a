"""The command `clinfed`: a module here per subcommand, each with add_arguments(parser) and run(args) -> int."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from clinfed import disk
from clinfed.bases.quantized import quiet_bitsandbytes
from clinfed.errors import UserError
from clinfed.runs.status import report_error

COMMANDS = {
    "simulate": "train adapters across simulated clinics, and evaluate them",
    "train": "the same training in one place, over all notes, without Flower",
    "compare": "centralised, federated and local-only training in one table",
    "classify": "codes of whole notes from frozen embeddings and a small classifier, federated and not",
    "sweep": "choose settings on validation notes, with the same number of trials for each row",
    "predict": "find diagnoses in notes with a trained adapter",
    "review": "read predictions in a local browser, beside gold where there is some",
    "publish": "a run's adapter as a folder for others, with card and audit file",
    "adapt": "train a global adapter further on a site's own notes",
    "runs": "list, name and remove the runs of this machine",
    "report": "one HTML page of finished runs: verdict, tables, plots, notes",
    "config": "print the resolved run, or all keys with their meaning",
    "count": "count what is trained and what travels, without loading a base",
    "score": "strict span F1 of predicted notes against gold notes",
    "bases": "fetch a base from the hub, once, and list what is here",
    "forget": "remove what was made of notes on this machine, and say what cannot be taken back",
    "check": "say whether this site is ready to join, and what to do if it is not",
    "site": "what a site's engineer decides: which runs may start here",
    "pretrain": "pretrain a small base by masked language modelling",
    "completion": "print the script that completes commands and keys in your shell",
    "deploy": "folders with certificates, keys and scripts for a coordinator and real sites",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return its exit code, 2 for a user's mistake (one line), while a bug keeps its traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Nothing is compiled by torch here; else bitsandbytes would import its compiler, a sixth of a short run's time.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    quiet_bitsandbytes()  # before any command imports it
    parser = argparse.ArgumentParser("clinfed", description="Federated adapters for diagnoses in clinical notes.")
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    module = None
    for name, purpose in COMMANDS.items():
        command = subparsers.add_parser(name, help=purpose)
        if name == chosen:  # only this one is imported, so that light commands stay fast
            module = importlib.import_module(f"clinfed.cli.{name}")
            module.add_arguments(command)
    try:
        args = _parsed(parser, argv)
        assert module is not None  # argparse has ended the program for anything that is no command
        _tell_renamed(getattr(args, "overrides", ()))
        code = int(module.run(args))
        sys.stdout.flush()
    except UserError as error:
        return _refused(chosen, str(error))
    except BrokenPipeError:  # `clinfed ... | head`
        _silence(sys.stdout)
        return 0
    except OSError as error:
        said = disk.mistake(error, unnamed="standard output, or a file in $CLINFED_HOME or the temporary folder")
        if said is None:
            raise
        _silence(sys.stdout)
        return _refused(chosen, said)
    except KeyboardInterrupt:
        return 130
    return code


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Return what was typed; overrides may stand before, between and after options."""
    args, unknown = parser.parse_known_args(argv)
    if unknown and not hasattr(args, "overrides"):
        word = unknown[0]
        kind = "option" if word.startswith("-") else "argument"
        raise UserError(f"{word}: no such {kind}; see clinfed {args.command} --help")
    if unknown:
        from clinfed.cli.typed import rest_of_overrides

        args.overrides += rest_of_overrides(unknown, argv)
    return args


def _tell_renamed(overrides: Sequence[str]) -> None:
    """Say on standard error which keys have a new name."""
    if any("." in override.partition("=")[0] for override in overrides):
        from configs.migrations import notices

        for line in notices([override.partition("=")[0] for override in overrides]):
            print(line, file=sys.stderr)


def _refused(command: str | None, text: str) -> int:
    report_error(text)
    print(f"clinfed {command}: {text}" if command else f"clinfed: {text}", file=sys.stderr)
    return 2


def _silence(stream: TextIO) -> None:
    """Let go of what a stream refuses to take: else Python tries again when it ends, and says so."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Version(argparse.Action):
    """Prints the installed version, which is looked up only if it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and end."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("clinfed")
        except PackageNotFoundError:  # a checkout on the path
            found = "of a checkout that is not installed"
        print(f"clinfed {found}")
        parser.exit()


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add what every command that composes a run takes."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="for example adapter.r=16 rounds=3; `clinfed config` lists them",
    )
