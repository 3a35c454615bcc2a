"""All that `clinfed check` looks at: machine, code, base, the site's settings and notes, the way to the coordinator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import configs
from client import enrolment
from clinfed import fingerprints, signatures
from clinfed.checks import holdings, machine
from clinfed.checks.finding import Finding, Level, attempted, failed
from clinfed.checks.link import Address, link
from clinfed.clinic.data import site_codes, site_corpus
from clinfed.clinic.permissions import admit_run
from clinfed.clinic.signing import private_key
from clinfed.clinic.site import Site, read
from clinfed.errors import UserError
from clinfed.home import home
from configs import Run

OTHERS_MAY_WRITE, OTHERS_MAY_READ = 0o022, 0o077
KEY_FOUND: dict[enrolment.Enrolment, tuple[Level, str, str]] = {
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


@dataclass(frozen=True)
class Asked:
    """What is looked at beside the machine. overrides: those that the coordinator will use."""

    overrides: Sequence[str]
    settings: Path | None = None  # site.toml
    superlink: str | None = None  # HOST:PORT
    root_certificates: Path | None = None
    key: Path | None = None
    base_fingerprint: str = ""
    port: int = 9094


def all_findings(asked: Asked) -> list[Finding]:
    """Return the rows of the table, in the order in which they are best put right.

    Raises: UserError for arguments that make no sense.
    """
    if asked.superlink and not asked.root_certificates:
        raise UserError("--superlink needs --root-certificates; give the ca.crt that the coordinator handed out")
    address = Address.parse(asked.superlink) if asked.superlink else None
    chosen = configs.load(configs.absolute_paths(asked.overrides, Path.cwd()))
    findings = machine.python_and_packages()
    site: Site | None = None
    if asked.settings:
        try:
            site = read(asked.settings.absolute())
            findings.append(settings(site))
        except UserError as error:
            findings.append(failed("settings", error))
    findings += attempted("code", lambda: [code(site, asked.overrides, chosen)])
    findings += computing(site, chosen)
    findings += attempted("base", lambda: holdings.base(chosen.base, asked.base_fingerprint))
    if site:
        findings += [machine.disk(home(), Path(site.notes)), machine.port(asked.port), *held(site, chosen)]
    if address and asked.root_certificates:
        findings += way(address, asked.root_certificates, asked.key)
    return findings


def settings(site: Site) -> Finding:
    """Return whether only this account decides on the settings. Raises: UserError for a key that cannot sign."""
    if site.key:
        private_key(site)
    if Path(site.file).stat().st_mode & OTHERS_MAY_WRITE:
        found = f"{site.file}: other accounts of this machine may change it"
        return Finding("settings", "warn", found, f"chmod 640 {site.file}")
    return Finding("settings", "ok", f"{site.file}: {site.name or 'without a name'}")


def code(site: Site | None, overrides: Sequence[str], chosen: Run) -> Finding:
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
    least, policy = site.least_in_a_cell, site.policy
    return listed + attempted("notes", lambda: holdings.notes(site_corpus(site, chosen.corpus), codes, least, policy))


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
    key = signatures.read_private(path)
    named = f"{path} ({enrolment.public_fingerprint(key)})"
    rows = []
    if path.stat().st_mode & OTHERS_MAY_READ:
        rows.append(Finding("key", "fail", f"{named}: other accounts may read it", f"chmod 600 {path}"))
    if not reached:
        return [
            *rows,
            Finding("key", "warn", f"{named}: the coordinator could not be asked", "correct the rows above"),
        ]
    level, found, remedy = KEY_FOUND[enrolment.ask(str(address), authority.absolute(), key)]
    return [*rows, Finding("key", level, f"{named}: {found}", remedy)]
