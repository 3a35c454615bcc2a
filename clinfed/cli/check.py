"""clinfed check --settings site.toml: is this site ready, before anything is joined."""

import argparse
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import configs
from client import enrolment
from clinfed import fingerprints
from clinfed.checks import holdings, machine
from clinfed.checks.finding import LEVELS, Finding, attempted, failed, table
from clinfed.checks.link import Address, link
from clinfed.cli import add_overrides
from clinfed.cli.options import PORT, add_number
from clinfed.clinic.data import site_codes, site_corpus
from clinfed.clinic.permissions import admit_run
from clinfed.clinic.site import Site, read
from clinfed.errors import UserError
from clinfed.home import home
from configs import Run

OTHERS_MAY_WRITE, OTHERS_MAY_READ = 0o022, 0o077
KEY_FOUND = {
    enrolment.Enrolment.REGISTERED: ("ok", "the coordinator knows this key", ""),
    enrolment.Enrolment.UNKNOWN: (
        "fail",
        "the coordinator does not know this key",
        "send it the public half, NAME.pub (never NAME.key), to be registered: flwr supernode register NAME.pub",
    ),
    enrolment.Enrolment.SIGNATURE_REFUSED: (
        "fail",
        "the coordinator refuses a signature of this key",
        "set both clocks by the network (timedatectl set-ntp true)",
    ),
    enrolment.Enrolment.UNTOLD: (
        "warn",
        "whether the coordinator knows this key cannot be told from its answer",
        "install the same clinfed on both sides; else the SuperNode's own log will tell (code 2004: unknown key)",
    ),
}


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
    if args.superlink and not args.root_certificates:
        raise UserError("--superlink needs --root-certificates; give the ca.crt that the coordinator handed out")
    findings = all_findings(args)
    counts = Counter(each.level for each in findings)
    ready = not counts["fail"]
    if args.json:
        print(json.dumps({"ready": ready, "findings": [each.as_dict() for each in findings]}))
    else:
        print(table(findings, shutil.get_terminal_size((120, 24)).columns))
        print(", ".join(f"{counts[level]} {level}" for level in LEVELS) + f": {'ready' if ready else 'not ready'}")
    return 0 if ready else 1


def all_findings(args: argparse.Namespace) -> list[Finding]:
    """Return the rows of the table, in the order in which they are best put right."""
    address = Address.parse(args.superlink) if args.superlink else None
    chosen = configs.load(configs.absolute_paths(args.overrides, Path.cwd()))
    findings = machine.python_and_packages()
    site: Site | None = None
    if args.settings:
        try:
            site = read(args.settings.absolute())
            findings.append(settings(site))
        except UserError as error:
            findings.append(failed("settings", error))
    findings += attempted("code", lambda: [code(site, args.overrides, chosen)])
    findings += computing(site, chosen)
    findings += attempted("base", lambda: holdings.base(chosen.base, args.base_fingerprint))
    if site:
        findings += [machine.disk(home(), Path(site.notes)), machine.port(args.port), *held(site, chosen)]
    if address:
        findings += way(address, args.root_certificates, args.key)
    return findings


def settings(site: Site) -> Finding:
    """Return whether only this account decides on the settings."""
    if Path(site.file).stat().st_mode & OTHERS_MAY_WRITE:
        found = f"{site.file}: other accounts of this machine may change it"
        return Finding("settings", "warn", found, f"chmod 640 {site.file}")
    return Finding("settings", "ok", f"{site.file}: {site.name or 'without a name'}")


def code(site: Site | None, overrides: list[str], chosen: Run) -> Finding:
    """Return whether the site would let this run in, with the code that is installed here. Raises: UserError."""
    found = f"the code that is installed here has the fingerprint {fingerprints.code()}"
    if site is None:
        return Finding("code", "ok", found)
    admit_run(site, overrides, chosen)
    return Finding("code", "ok", f"{found}; the settings allow it, and this run")


def computing(site: Site | None, chosen: Run) -> list[Finding]:
    """Return whether the site's device is there, and computes in 4 bits."""
    device = site.device if site else ""
    needed = chosen.adapter.quantization() is not None or (site is not None and site.quantisation == "nf4")
    gpu = machine.gpu(device)
    return [gpu, machine.four_bit(device if gpu.level == "ok" else "", needed=needed)]


def held(site: Site, chosen: Run) -> list[Finding]:
    """Return what the site's list of codes and its notes are like."""
    codes: list[str] = []

    def labels() -> list[Finding]:
        codes.extend(site_codes(site, chosen.corpus))
        return [holdings.labels(site.labels, codes)]

    listed = attempted("labels", labels)
    least = site.small_cell_threshold
    return listed + attempted("notes", lambda: holdings.notes(site_corpus(site, chosen.corpus), codes, least))


def way(address: Address, authority: Path, key: Path | None) -> list[Finding]:
    """Return how far the way to the coordinator goes."""
    findings = link(address, authority)
    if key is None:
        untold = "no --key was given, so whether the coordinator knows this site was not asked"
        return [*findings, Finding("key", "warn", untold, "give --key with this site's private key")]
    reached = all(each.level != "fail" for each in findings)
    return findings + attempted("key", lambda: known_key(address, authority, key, reached=reached))


def known_key(address: Address, authority: Path, path: Path, *, reached: bool) -> list[Finding]:
    """Return whether the site's key is one, is private, and is known to the coordinator. Raises: UserError."""
    key = enrolment.read_key(path)
    named = f"{path} ({enrolment.public_fingerprint(key)})"
    rows = []
    if path.stat().st_mode & OTHERS_MAY_READ:
        rows.append(Finding("key", "fail", f"{named}: other accounts may read it", f"chmod 600 {path}"))
    if not reached:
        return [
            *rows,
            Finding("key", "warn", f"{named}: the coordinator could not be asked", "put the rows above right"),
        ]
    level, found, remedy = KEY_FOUND[enrolment.ask(str(address), authority.absolute(), key)]
    return [*rows, Finding("key", level, f"{named}: {found}", remedy)]  # type: ignore[arg-type]
