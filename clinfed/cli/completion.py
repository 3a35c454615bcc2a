"""`clinfed completion SHELL`: print the script that completes commands, options and keys in that shell.

clinfed completion bash > ~/.local/share/bash-completion/completions/clinfed
clinfed completion zsh > ~/.zsh/completions/_clinfed         # a folder of $fpath
clinfed completion fish > ~/.config/fish/completions/clinfed.fish
"""

import argparse
import importlib

import configs
from clinfed.cli import COMMANDS

SHELLS = ("bash", "zsh", "fish")
# Keys end in "=": the shell must not put a blank behind them.
PREAMBLE = {
    "bash": '_clinfed_keys() {{ compopt -o nospace 2> /dev/null; compgen -W "{keys}" -- "$1"; }}\n',
    "zsh": "_clinfed_keys() {{ compadd -S '' -- {keys} }}\n",
    "fish": "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    keys = _keys()
    preamble = PREAMBLE[args.shell].format(keys=" ".join(keys))
    print(shtab.complete(_parser(keys), args.shell, preamble=preamble))
    return 0


def _keys() -> list[str]:
    """Return what an override begins with: groups and keys of the default run, each with its "="."""
    return sorted(
        f"{override.partition('=')[0]}=" for override in configs.to_overrides(configs.resolved(configs.load([])))
    )


def _parser(keys: list[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands, in which overrides are completed by their keys."""
    parser = argparse.ArgumentParser("clinfed")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for name, purpose in COMMANDS.items():
        command = subparsers.add_parser(name, help=purpose)
        importlib.import_module(f"clinfed.cli.{name}").add_arguments(command)
    for each in subparsers.choices.values():
        for action in each._actions:
            if action.metavar == "key=value":
                custom = {"bash": "_clinfed_keys", "zsh": "_clinfed_keys", "fish": " ".join(keys)}
                action.complete = custom  # type: ignore[attr-defined]  # shtab reads it
    return parser
