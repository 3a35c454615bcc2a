"""Writes what a federation is deployed from: one folder for the coordinator and one for each site.

    FOLDER/authority/     ca.key, which signs the server's certificate; no service needs it
    FOLDER/coordinator/   ca.crt, the server's certificate, public keys of sites, scripts, units, README
    FOLDER/north/         ca.crt, the site's own key pair, site.toml, scripts, unit, README, what Flower starts

A private key lies in the folder of the one who uses it and nowhere else.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinfed.deploy.certificates import Authority, write_server, write_site_keys
from clinfed.deploy.known_keys import REPLACED
from clinfed.deploy.plan import AUTHORITY, COORDINATOR, Plan
from clinfed.errors import UserError

TEMPLATES = Path(__file__).with_name("templates")
PLAN = "deployment.json"
SETTINGS = "coordinator.toml"
OPERATOR = "operator.pub"  # the key that signs what a run is, and who starts it
PRIVATE_FOLDERS = ("flower", "state")  # what Flower and clinfed write at run time
PROGRAMS = "programs"  # in a site's folder: what Flower starts there, by Flower's names
GUARDED, CLOSED = (
    "flwr-clientapp",
    ("flwr-agentapp", "flwr-connector", "flwr-model", "flwr-serverapp", "flwr-simulation"),
)
FOLDER_MODE, PROGRAM_MODE, SETTINGS_MODE = 0o700, 0o755, 0o600


def init(folder: Path, plan: Plan) -> None:
    """Write all folders below a new one. Raises: UserError where it exists: keys are never overwritten unasked."""
    refuse_filled(
        folder,
        "its keys may be in use: give another folder with -o, replace single keys with `clinfed deploy renew`, or "
        "remove it yourself if nobody has got a part of it",
    )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    coordinator = _new_folder(folder / COORDINATOR)
    (coordinator / "sites").mkdir()
    (folder / AUTHORITY).mkdir(mode=FOLDER_MODE)
    authority = Authority.make(f"clinfed federation at {plan.host}")
    authority.write(folder / AUTHORITY / "ca.key", coordinator / "ca.crt")
    write_server(authority, plan.host, coordinator / "server.key", coordinator / "server.crt")
    write_site_keys(coordinator / "operator.key", coordinator / OPERATOR)
    plan.write(coordinator / PLAN)
    _render("coordinator", coordinator, {"plan": plan})
    for site in plan.sites:
        _write_site(folder, plan, site)


def add_site(folder: Path, site: str, code: str) -> None:
    """Write the folder of one more site, and its public key into the coordinator's.

    code: fingerprint of the coordinator's code.
    """
    old = Plan.read(folder / COORDINATOR / PLAN)
    plan = replace(old, sites=(*old.sites, site), code=code)
    refuse_filled(folder / site, "it is not a site of this federation: move it away, or give the new site another name")
    _write_site(folder, plan, site)
    settings = folder / COORDINATOR / SETTINGS
    with settings.open("a", encoding="utf-8") as file:  # its other lines are the coordinator's own
        file.write(f'\n[sites.{site}]\nkey = "sites/{site}.pub"\n')
    settings.chmod(SETTINGS_MODE)
    plan.write(folder / COORDINATOR / PLAN)


def renew_site(folder: Path, site: str) -> Path:
    """Replace a site's key pair, in the coordinator's folder and in the site's; return the new private key's path.

    The site's folder is made where it has gone: it belongs on the site's machine.
    """
    plan = Plan.read(folder / COORDINATOR / PLAN)
    if site not in plan.sites:
        raise UserError(f"{site!r} is not a site of {folder}; its sites: {', '.join(plan.sites)}")
    own = folder / site
    own.mkdir(mode=FOLDER_MODE, exist_ok=True)
    public = folder / COORDINATOR / "sites" / f"{site}.pub"
    if public.is_file():  # valid until unregister.sh, which removes it; until then the gate knows both
        public.replace(public.with_name(f"{site}{REPLACED}"))
    _write_keys(folder, site)
    return own / f"{site}.key"


def renew_server(folder: Path) -> Path:
    """Replace the server's key and certificate, signed by the same authority; return the certificate's path."""
    coordinator = folder / COORDINATOR
    plan = Plan.read(coordinator / PLAN)
    keys = folder / AUTHORITY / "ca.key", coordinator / "ca.key"  # earlier versions wrote the second
    if not (key := next(filter(Path.is_file, keys), None)):
        raise UserError(f"{keys[0]}: no such file; put the authority's key there while this command runs")
    authority = Authority.read(key, coordinator / "ca.crt")
    write_server(authority, plan.host, coordinator / "server.key", coordinator / "server.crt")
    return coordinator / "server.crt"


def refuse_filled(folder: Path, remedy: str) -> None:
    """Raise UserError where a folder exists and is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists already and is not empty; {remedy}")


def _write_site(folder: Path, plan: Plan, site: str) -> None:
    own = _new_folder(folder / site)
    shutil.copyfile(folder / COORDINATOR / "ca.crt", own / "ca.crt")
    _write_keys(folder, site)
    operator = folder / COORDINATOR / OPERATOR
    if operator.is_file():  # not in a folder of an earlier version
        shutil.copyfile(operator, own / OPERATOR)
    (own / PROGRAMS).mkdir(mode=FOLDER_MODE)
    _render("site", own, {"plan": plan, "site": site, "operator": operator.is_file()})
    for name in CLOSED:  # the same program, which refuses by its name
        shutil.copy(own / PROGRAMS / GUARDED, own / PROGRAMS / name)


def _write_keys(folder: Path, site: str) -> None:
    own = folder / site
    write_site_keys(own / f"{site}.key", own / f"{site}.pub")
    shutil.copyfile(own / f"{site}.pub", folder / COORDINATOR / "sites" / f"{site}.pub")


def _new_folder(path: Path) -> Path:
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)  # an empty one was there, if any
    path.chmod(FOLDER_MODE)
    for name in PRIVATE_FOLDERS:
        (path / name).mkdir(mode=FOLDER_MODE)
    return path


def _render(role: str, target: Path, values: Mapping[str, Any]) -> None:
    """Write each template of a role; its name is the file's, with NAME for the site and .jinja left out."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    for path in sorted((TEMPLATES / role).rglob("*.jinja")):
        template = environment.get_template(path.relative_to(TEMPLATES).as_posix())
        relative = path.relative_to(TEMPLATES / role).with_suffix("")
        file = target / relative.with_name(relative.name.replace("NAME", str(values.get("site", ""))))
        file.write_text(template.render(values), "utf-8")
        file.chmod(PROGRAM_MODE if file.suffix == ".sh" or file.parent.name == PROGRAMS else SETTINGS_MODE)
