"""clinfed deploy: folders for a coordinator and its sites, renewal of keys, and what the coordinator's scripts call."""

import argparse
from pathlib import Path

from clinfed.cli import add_overrides
from clinfed.cli.options import PORT, add_number
from clinfed.deploy import folders
from clinfed.deploy.plan import AUTHORITY, COORDINATOR, Plan
from clinfed.errors import UserError

DEFAULT_FOLDER = Path("federation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    _add_init(actions)
    add = actions.add_parser("add", help="write the folder of one more site")
    add.add_argument("site", help="its name")
    _add_folder(add)
    _add_renew(actions)
    gate = actions.add_parser("gate", help="what gate.sh starts: the only port for sites, in front of the SuperLink")
    gate.add_argument("folder", type=Path, help="the coordinator's folder")
    wheels = actions.add_parser(
        "wheelhouse",
        help="a folder of wheels with hashes, from which a site installs without a network",
        description="Download what a site needs, as the lock names it with hashes, and add clinfed's own wheel.",
    )
    wheels.add_argument("folder", type=Path, help="where the wheels go")
    wheels.add_argument("--source", type=Path, default=Path(), help="a checkout of clinfed (this folder)")
    wheels.add_argument("--lock", type=Path, help="another lock than the checkout's locks/site.txt")
    wheels.add_argument("--wheel", type=Path, help="clinfed's own wheel (built from the checkout)")
    app = actions.add_parser("app", help="what run.sh of earlier folders calls: write the installed app to a folder")
    app.add_argument("folder", type=Path, help="a new folder")
    start = actions.add_parser("run", help="what run.sh starts: a run at all registered sites, followed to its end")
    start.add_argument("folder", type=Path, help="the coordinator's folder")
    start.add_argument("--from", dest="seen_from", type=Path, default=Path(), help="where relative paths start")
    start.add_argument("--manifest", type=Path, metavar="FILE", help="start the run of a manifest that is approved now")
    add_overrides(start)


def _add_init(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "init",
        help="write a folder for the coordinator and one for each site",
        description="Write certificates, keys, start scripts, systemd units, compose files and a README for each side.",
    )
    parser.add_argument("--sites", required=True, help="names separated by commas: north,south,coast")
    parser.add_argument("--host", required=True, help="name or IP address at which sites reach the coordinator")
    add_number(parser, "--port", default=Plan.port, help="the one port that is open to sites (%(default)s)", **PORT)
    add_number(
        parser,
        "--control-port",
        default=Plan.control_port,
        help="the SuperLink's, on loopback only (%(default)s)",
        **PORT,
    )
    parser.add_argument(
        "--place", default=Plan.place, help="where each machine will keep its folder, for systemd (%(default)s)"
    )
    parser.add_argument(
        "--addresses",
        default="",
        metavar="IP[,IP]",
        help="the only addresses that a site's service may reach: the coordinator's, where --host is a name, and a "
        "name server's; without them the site writes them into its unit",
    )
    parser.add_argument(
        "--sites-addresses",
        default="",
        metavar="NETWORK[,NETWORK]",
        help="the only addresses that the gate's service answers; without them the firewall must say so",
    )
    _add_folder(parser)


def _add_renew(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser("renew", help="replace one site's keys, or the server's key and certificate")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("site", nargs="?", help="whose key pair is replaced")
    what.add_argument("--server", action="store_true", help="a new server certificate of the same authority")
    _add_folder(parser)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        type=Path,
        default=DEFAULT_FOLDER,
        help=f"the folder that holds {COORDINATOR}/ (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    return int(ACTIONS[args.action](args))


def _init(args: argparse.Namespace) -> int:
    from clinfed import fingerprints

    sites = tuple(name.strip() for name in args.sites.split(","))
    here, there = (
        tuple(each.strip() for each in given.split(",") if each.strip())
        for given in (args.addresses, args.sites_addresses)
    )
    plan = Plan(sites, args.host, args.port, args.control_port, args.place, fingerprints.code(), here, there)
    folders.init(args.output, plan)
    print(f"{args.output}/{COORDINATOR}: for the machine {plan.host}")
    print(f"{args.output}/{AUTHORITY}: signs that machine's certificate; keep it with whoever deploys, best offline")
    for site in plan.sites:
        print(f"{args.output}/{site}: for {site}, over a safe channel; delete it here once it is there")
    print("each README.md has the commands")
    return 0


def _add(args: argparse.Namespace) -> int:
    from clinfed import fingerprints

    folders.add_site(args.output, args.site, fingerprints.code())
    print(f"{args.output}/{args.site}: for {args.site}, over a safe channel; delete it here once it is there")
    print(f"in {args.output}/{COORDINATOR}: ./register.sh {args.site}")
    return 0


def _renew(args: argparse.Namespace) -> int:
    if args.server:
        print(f"{folders.renew_server(args.output)}: new; sites keep their ca.crt. At the coordinator, now:")
        print("  sudo systemctl restart clinfed-superlink clinfed-gate")
        return 0
    key, site = folders.renew_site(args.output, args.site), args.site
    print(
        f"{key}: new; the old key stays valid until the first of these commands. In {args.output}/{COORDINATOR}, now:"
    )
    print(f"  ./unregister.sh {site}\n  ./register.sh {site}")
    print(f"then take {site}.key to {site} over a safe channel, delete it here, and run there:")
    print(f"  sudo systemctl restart clinfed-{site}")
    return 0


def _gate(args: argparse.Namespace) -> int:
    from clinfed.deploy.gate import serve

    plan = Plan.read(args.folder / folders.PLAN)
    if missing := [name for name in ("server.crt", "server.key", "ca.crt") if not (args.folder / name).is_file()]:
        raise UserError(f"{args.folder / missing[0]}: no such file; `clinfed deploy renew --server` writes a new one")
    serve(args.folder, listen=plan.listen, port=plan.port, link_port=plan.control_port)
    return 0


def _wheelhouse(args: argparse.Namespace) -> int:
    from clinfed.deploy.wheelhouse import REQUIREMENTS, SUMS, wheelhouse

    wheels = wheelhouse(args.folder, args.source, lock=args.lock, wheel=args.wheel)
    print(f"{args.folder}: {len(wheels)} wheels, {sum(each.stat().st_size for each in wheels) / 1e6:,.0f} MB")
    print(f"at the site: sha256sum --check {SUMS}, and then")
    print(f"  pip install --no-index --find-links {args.folder} --require-hashes -r {args.folder}/{REQUIREMENTS}")
    return 0


def _app(args: argparse.Namespace) -> int:
    from clinfed.experiments.launch import stage

    folders.refuse_filled(args.folder, "give a new one: all that lies there would travel to every site")
    stage(args.folder)
    return 0


def _start(args: argparse.Namespace) -> int:
    from clinfed.experiments.deployed import start

    return start(args.folder, args.overrides, args.seen_from, args.manifest)


ACTIONS = {
    "init": _init,
    "add": _add,
    "renew": _renew,
    "gate": _gate,
    "wheelhouse": _wheelhouse,
    "app": _app,
    "run": _start,
}
