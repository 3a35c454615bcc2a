"""What a federation's folders are made from: who takes part, and where the coordinator is reached."""

import ipaddress
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clinfed.errors import UserError

COORDINATOR, AUTHORITY = "coordinator", "authority"  # folders, so no site may be called like them
SITE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")  # in file names, units and records
HOST_NAME = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
)
PLACE = re.compile(r"(/[\w.@+-]+)+", re.ASCII)
FIRST_NODE_PORT = 9094  # Flower's own for a SuperNode; sites on one machine need one each


@dataclass(frozen=True)
class Plan:
    """One federation.

    place: the folder on each machine that its folder will lie in. addresses: the coordinator's, and sites_addresses
    those that sites come from, as systemd's IPAddressAllow takes them.
    """

    sites: tuple[str, ...]
    host: str
    port: int = 8000  # the gate's, which sites reach
    control_port: int = 8001  # the SuperLink's, on the coordinator's loopback only
    place: str = "/opt/clinfed"
    code: str = field(default="", compare=False)  # fingerprint of the coordinator's code
    addresses: tuple[str, ...] = ()
    sites_addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_sites()
        if not (_address(self.host) or HOST_NAME.fullmatch(self.host)):
            raise UserError(
                f"--host: {self.host!r} is not a host name or IP address; give it without https:// and port"
            )
        if self.port == self.control_port:
            raise UserError(f"--port and --control-port are both {self.port}; the second is the SuperLink's own")
        for option, port in (("--port", self.port), ("--control-port", self.control_port)):
            if not 0 < port < 65536:
                raise UserError(f"{option}: {port} is not a port; give one of 1 to 65535 (below 1024 only as root)")
        for option, given in (("--addresses", self.addresses), ("--sites-addresses", self.sites_addresses)):
            if wrong := [each for each in given if not _network(each)]:
                raise UserError(f"{option}: {wrong[0]!r} is not an IP address or network, such as 192.0.2.0/24")
        if not PLACE.fullmatch(self.place):
            raise UserError(
                f"--place: {self.place!r} cannot stand in a systemd unit; give the full path, without blanks"
            )

    def _check_sites(self) -> None:
        for site in self.sites:
            if not SITE_NAME.fullmatch(site) or site in (COORDINATOR, AUTHORITY):
                raise UserError(
                    f"{site!r} cannot name a site; use lower-case letters, digits and hyphens, at most 40 of "
                    f"them, and not {COORDINATOR!r} or {AUTHORITY!r}"
                )
        if not self.sites or len(set(self.sites)) < len(self.sites):
            raise UserError(f"sites {','.join(self.sites)!r}: none, or two equal names; name each site once")

    @property
    def address(self) -> str:
        """Return host:port as Flower's --superlink takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reached(self) -> tuple[str, ...]:
        """Return the addresses at which sites reach the coordinator, as far as they are known."""
        return self.addresses or ((self.host,) if _address(self.host) else ())

    @property
    def listen(self) -> str:
        """Return the address that the gate binds: a federation on one machine stays on its loopback."""
        address = _address(self.host)
        if self.host == "localhost" or (address and address.is_loopback):
            return "::1" if ":" in self.host else "127.0.0.1"
        return "::" if ":" in self.host else "0.0.0.0"

    def node_port(self, site: str) -> int:
        """Return the loopback port of a site's SuperNode."""
        return FIRST_NODE_PORT + self.sites.index(site)

    def write(self, path: Path) -> None:
        """Write it as JSON; code is left out, for what is installed may change."""
        values = asdict(self)
        del values["code"]
        path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Return the plan of a file. Raises: UserError where there is none."""
        try:
            values = json.loads(path.read_text("utf-8"))
            several = {
                name: tuple(values[name]) for name in ("sites", "addresses", "sites_addresses") if name in values
            }
            return cls(**{**values, **several})
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such file; give the folder that `clinfed deploy init` wrote, with -o FOLDER"
            ) from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not as `clinfed deploy init` wrote it ({type(error).__name__})") from None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
