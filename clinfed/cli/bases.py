"""`clinfed bases`: fetch a base from the hub into this side's folder of bases, and list what is there."""

import argparse
from pathlib import Path

from clinfed.bases.base import Base, origin
from clinfed.errors import UserError
from clinfed.home import bases_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    fetch = actions.add_parser(
        "fetch",
        help="download one base; the only command that is meant to use the network",
        description="Download a base into $CLINFED_BASES/NAME. Runs then find it there, without a network.",
    )
    fetch.add_argument("base", help="an option of base=, such as mbert, or a hub id owner/name")
    fetch.add_argument("--revision", default="", help="the full 40-digit commit of a hub id")
    fetch.add_argument("--name", default="", help="the folder's name (the option's, or what follows owner/)")
    for action in (fetch, actions.add_parser("list", help="the bases of this side, with their fingerprints")):
        action.add_argument("--to", metavar="FOLDER", type=Path, help="the folder of bases ($CLINFED_BASES)")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    folder = args.to or bases_folder()
    return _list(folder) if args.action == "list" else _fetch(args, folder)


def _fetch(args: argparse.Namespace, folder: Path) -> int:
    from clinfed.bases.fetch import fetch

    base = _chosen(args.base, args.revision, args.name)
    fetched = fetch(base, folder)
    print(f"{fetched}: {base.path} at {base.revision}, fingerprint {_fingerprint(fetched)}")
    use = f"base={args.base}" if "/" not in args.base and not args.name else f"base=local base.name={base.name}"
    print(f"a run uses it with {use}; copy the folder to machines without a network")
    return 0


def _list(folder: Path) -> int:
    found = sorted(path.parent for path in folder.glob("*/config.json")) if folder.is_dir() else []
    for each in found:
        where = " at ".join(origin(each) or ("copied by hand",))
        print(f"{each.name}: {where}, fingerprint {_fingerprint(each)}")
    if not found:
        print(f"{folder}: no base; `clinfed bases fetch` downloads one, and base=tiny needs none")
    return 0


def _chosen(given: str, revision: str, name: str) -> Base:
    if "/" in given:
        return Base(name=name or given.rpartition("/")[2], path=given, revision=revision)
    import configs

    if revision or name:
        raise UserError(f"{given}: an option of base= has its own name and revision; leave --name and --revision out")
    return configs.load([f"base={given}"]).base


def _fingerprint(folder: Path) -> str:
    from clinfed.bases.fingerprint import fingerprint

    return fingerprint(Base(name=folder.name, path=str(folder)))
