"""Who may be connected to the gate: room for strangers, room for strangers at a site's address, and room for each key.

A connection is a stranger's until a request on it is signed with a registered key. If a room is full, the connection
that has been there longest makes way, unless it is younger than GRACE_S; then the newcomer is turned away. So silent
connections never keep a site out, and strangers elsewhere never take the room at an address that sites come from.
"""

import ipaddress
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

STRANGERS = 128  # in each of the two rooms: 0.6 MB each after a TLS handshake, measured
PER_ADDRESS = 32  # a site needs one or two until its first request is signed
PER_KEY = 16  # a SuperNode has one connection for its heartbeat and some for a message's tensors
GRACE_S = 1.0  # a TLS handshake and a signed request over a slow line
REMEMBERED_S = 24 * 3600.0  # an address that no site has come from for so long is a stranger's again
MOST_ADDRESSES = 1024


@dataclass(eq=False)
class Guest:
    """One connection. close ends it; site is whose key has signed on it, "" for a stranger's."""

    address: str
    close: Callable[[], object]
    since: float = field(default_factory=time.monotonic)
    site: str = ""


class Rooms:
    """All connections of the gate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.guests: dict[Guest, None] = {}  # in the order in which they came
        self.home_of_sites: dict[str, float] = {}  # address -> when a site last proved itself there

    def admit(self, address: str, close: Callable[[], object]) -> Guest | None:
        """Return the guest that comes from an address; None where there is no room."""
        guest = Guest(network(address), close, self.clock())
        known = self._is_known(guest.address)
        strangers = [each for each in self.guests if not each.site]
        same = [each for each in strangers if each.address == guest.address]
        room = [each for each in strangers if self._is_known(each.address) == known]
        if not (self._has_place(same, PER_ADDRESS) and self._has_place(room, STRANGERS)):
            return None
        self.guests[guest] = None
        return guest

    def prove(self, guest: Guest, site: str) -> bool:
        """Move a guest to the room of the site whose key has signed; say whether there was a place."""
        if guest.site == site:
            return True
        if sum(each.site == site for each in self.guests) >= PER_KEY:
            return False
        guest.site = site
        if guest.address in self.home_of_sites or len(self.home_of_sites) < MOST_ADDRESSES:
            self.home_of_sites[guest.address] = self.clock()
        return True

    def leave(self, guest: Guest) -> None:
        """Take a guest out, who may have made way already."""
        self.guests.pop(guest, None)

    def _is_known(self, address: str) -> bool:
        seen = self.home_of_sites.get(address)
        if seen is not None and self.clock() - seen > REMEMBERED_S:
            del self.home_of_sites[address]
            return False
        return seen is not None

    def _has_place(self, group: Collection[Guest], places: int) -> bool:
        present = [each for each in group if each in self.guests]
        if len(present) < places:
            return True
        oldest = min(present, key=lambda each: each.since)
        if self.clock() - oldest.since < GRACE_S:
            return False
        self.leave(oldest)
        oldest.close()
        return True


def network(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 that a single IPv6 machine can fill."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(read, ipaddress.IPv6Address):
        if read.ipv4_mapped:
            return str(read.ipv4_mapped)
        return str(ipaddress.ip_network((read, 64), strict=False))
    return str(read)
