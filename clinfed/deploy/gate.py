"""The coordinator's only open port: the calls of Flower's Fleet API that sites need, and nothing else.

A SuperLink serves sites, operators and its own processes at one port, and its control API has no password. Anybody who
reaches that port may register a key or start a run, and a run is code that sites execute. So the SuperLink listens on
loopback, and the gate forwards the ten calls of a SuperNode, whose signatures the SuperLink checks. TLS on both sides.

Strangers cost little: connections are counted before TLS begins (rooms.py), each step has a deadline (visit.py), and
a body is large only if a registered key has signed the headers before it (known_keys.py).
"""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import httpx

from clinfed.deploy.known_keys import KnownKeys
from clinfed.deploy.rooms import Guest, Rooms
from clinfed.deploy.visit import Answer, Deadlines, Head, Visit

CALLS = (
    "activate-node deactivate-node send-node-heartbeat pull-messages push-messages get-run get-fab push-object "
    "pull-object confirm-message-received"
)
FORWARDED = {("POST", f"/v1/fleet/{call}") for call in CALLS.split()} | {("GET", "/health")}
BODY_LIMIT_BYTES = 8 * 1024 * 1024  # Flower sends tensors in pieces of 5 MiB, and nothing else of a SuperNode is large
STRANGERS_BODY_LIMIT_BYTES = 64 * 1024  # a key that is asked for, or a call that will be refused
LINK_LIMIT_S = 30.0  # as Flower's own clients wait
# Whoever sends closes an idle connection first, or a call could go out on one that is just being closed: the SuperLink
# closes after 5 s.
LINK_IDLE_S = 4.0
LINKS, STRANGERS_LINKS = 128, 8  # connections to the SuperLink: strangers wait for each other, and never a site
BACKLOG = 1024
# Of one connection, not of the message; the length is written anew, and no body is compressed on the way. No SuperNode
# has cookies, so none may come from one site and go to the next.
NOT_FORWARDED = {"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
NOT_FORWARDED |= {"accept-encoding", "content-encoding", "server", "date", "cookie", "set-cookie", "expect"}

log = logging.getLogger("clinfed.gate")


@dataclass(frozen=True)
class Links:
    """The connections to the SuperLink, of registered sites and of strangers. They keep nothing between calls."""

    address: str
    sites: httpx.AsyncHTTPTransport
    strangers: httpx.AsyncHTTPTransport

    @classmethod
    def make(cls, address: str, verify: ssl.SSLContext | bool) -> "Links":
        """Return links to an address. A transport has no cookie jar, follows no redirect and asks no proxy."""

        def transport(most: int) -> httpx.AsyncHTTPTransport:
            limits = httpx.Limits(max_connections=most, keepalive_expiry=LINK_IDLE_S)
            return httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False)

        return cls(address, transport(LINKS), transport(STRANGERS_LINKS))

    async def ask(self, guest: Guest, head: Head, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return the SuperLink's answer. Raises: httpx.TransportError."""
        timeout = {"timeout": httpx.Timeout(LINK_LIMIT_S).as_dict()}
        request = httpx.Request(
            head.method, f"{self.address}{head.path}", headers=headers, content=body, extensions=timeout
        )
        transport = self.sites if guest.site else self.strangers
        response = await transport.handle_async_request(request)
        try:
            content = await response.aread()
        finally:
            await response.aclose()
        kept = {name: value for name, value in response.headers.items() if name not in NOT_FORWARDED}
        return Answer(response.status_code, kept, content)

    async def close(self) -> None:
        """Close all connections."""
        await self.sites.aclose()
        await self.strangers.aclose()


class Gate:
    """The gate in front of the SuperLink at an address of this machine. sites: the coordinator's folder of that name.

    gate = Gate("https://127.0.0.1:8001", verify, Path("coordinator/sites"))
    await gate.serve(listening, tls)  # until it is cancelled
    """

    def __init__(
        self, link: str, verify: ssl.SSLContext | bool, sites: Path, *, deadlines: Deadlines | None = None
    ) -> None:
        self.links = Links.make(link, verify)
        self.keys = KnownKeys(sites)
        self.rooms = Rooms()
        self.deadlines = deadlines or Deadlines()
        self._visits: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections of a listening socket until this is cancelled."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        try:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listening)
                except OSError as error:  # no descriptor is left: those in use are given back by their deadlines
                    log.warning("no connection can be taken: %s", error.strerror)
                    await asyncio.sleep(0.1)
                    continue
                self._admit(accepted, str(peer[0]), tls)
        finally:
            for task in self._visits:
                task.cancel()
            await asyncio.gather(*self._visits, return_exceptions=True)
            await self.links.close()

    def _admit(self, accepted: socket.socket, address: str, tls: ssl.SSLContext | None) -> None:
        task: asyncio.Task[None] | None = None
        guest = self.rooms.admit(address, lambda: task and task.cancel())
        if guest is None:
            accepted.close()
            log.warning("no room for %s", address)
            return
        task = asyncio.get_running_loop().create_task(self._visit(accepted, guest, tls))
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _visit(self, accepted: socket.socket, guest: Guest, tls: ssl.SSLContext | None) -> None:
        visit, ended = Visit(self.deadlines), False
        try:
            await visit.open(accepted, tls)
            while (head := await visit.head()) is not None and await self._answer(visit, guest, head):
                pass
            ended = True
        except TimeoutError:
            log.warning("%s was too slow", guest.address)
        except (OSError, EOFError, asyncio.CancelledError):  # gone, no TLS, or made way for another
            pass
        finally:
            self.rooms.leave(guest)
            visit.close(at_once=not ended)

    async def _answer(self, visit: Visit, guest: Guest, head: Head) -> bool:
        """Answer one request; say whether another may follow. A stranger has one."""
        if head.status:
            refused = head.status
        elif (head.method, head.path) not in FORWARDED:
            log.warning("refused %s %r from %s", head.method[:10], head.path[:100], guest.address)
            refused = 404
        elif (signer := self.keys.signer(head.headers)) and not self.rooms.prove(guest, signer):
            log.warning("refused more than its connections to %s", signer)
            refused = 429
        elif head.body_bytes > (limit := BODY_LIMIT_BYTES if guest.site else STRANGERS_BODY_LIMIT_BYTES):
            log.warning("refused a body of %d bytes from %s, expected %d", head.body_bytes, guest.address, limit)
            refused = 413
        else:
            answer = await self._forward(guest, head, await visit.body(head, proven=bool(guest.site)))
            return await visit.send(_dated(answer), last=not guest.site)
        return await visit.send(_dated(Answer(refused)), last=True)

    async def _forward(self, guest: Guest, head: Head, body: bytes) -> Answer:
        headers = {name: value for name, value in head.headers.items() if name not in NOT_FORWARDED}
        try:
            return await self.links.ask(guest, head, body, headers)
        except httpx.TransportError as error:
            log.warning("the SuperLink does not answer: %s", type(error).__name__)
            return Answer(503)  # a SuperNode then tries again


def _dated(answer: Answer) -> Answer:
    """Return the answer with this machine's clock, which `clinfed check` at a site compares with its own."""
    return Answer(answer.status, {**answer.headers, "date": formatdate(usegmt=True)}, answer.body)


class Sparing(logging.Filter):
    """Lets so many lines a minute through: strangers must not fill the log either."""

    def __init__(self, most: int = 30) -> None:
        super().__init__()
        self.most, self.minute, self.seen = most, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line is written; the last of a minute says that more were left out."""
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute, self.seen = minute, 0
        self.seen += 1
        if self.seen == self.most:
            record.msg, record.args = f"{record.getMessage()}; further lines of this minute are left out", ()
        return self.seen <= self.most


def serve(folder: Path, *, listen: str, port: int, link_port: int) -> None:
    """Serve the gate of the coordinator whose folder this is, until a signal ends the process."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    log.addFilter(Sparing())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(folder / "server.crt", folder / "server.key")
    gate = Gate(
        f"https://127.0.0.1:{link_port}", ssl.create_default_context(cafile=folder / "ca.crt"), folder / "sites"
    )
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET

    async def until_signalled() -> None:
        with socket.create_server((listen, port), family=family, backlog=BACKLOG) as listening:
            serving = asyncio.ensure_future(gate.serve(listening, tls))
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    asyncio.run(until_signalled())
