"""One connection to the gate: TLS, then requests, each step with a deadline and each size with a limit.

    visit = Visit(Deadlines())
    await visit.open(accepted, tls)
    head = await visit.head()  # None where the other side has closed
    await visit.send(Answer(200, {}, await visit.body(head, proven=False)), last=True)

Every step raises TimeoutError past its deadline, and OSError or EOFError where the other side is gone.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import h11

HEADER_LIMIT_BYTES = 16 * 1024  # of all lines together; Flower's are under 1 KiB
PIECE_BYTES = 64 * 1024
TOO_LARGE_STATUS = 431
CHUNKED_STATUS = 411  # a SuperNode says how long its body is; pieces of a byte would cost much to put together


@dataclass(frozen=True)
class Deadlines:
    """Seconds that each step may take."""

    handshake_s: float = 5.0
    first_byte_s: float = 5.0  # after the handshake
    idle_s: float = (
        10.0  # between requests: SuperNodes ask every 3 s, and close an idle connection after 5 s themselves
    )
    headers_s: float = 5.0  # after the first byte
    strangers_body_s: float = 10.0
    body_s: float = 120.0  # 5 MiB at half a megabit a second
    send_s: float = 120.0
    shutdown_s: float = 1.0


@dataclass(frozen=True)
class Head:
    """A request without its body. status: with which it must be refused, 0 where it need not be."""

    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes: int = 0
    status: int = 0


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Visit:
    """One connection, from its acceptance to its end."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT_BYTES)
        self._waits_s = deadlines.first_byte_s
        self._socket: socket.socket | None = None
        self._reader = asyncio.StreamReader(limit=PIECE_BYTES)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Do the TLS handshake."""
        self._socket = accepted
        loop = asyncio.get_running_loop()
        streams = asyncio.StreamReaderProtocol(self._reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: streams,
            accepted,
            ssl=tls,
            ssl_handshake_timeout=self.deadlines.handshake_s if tls else None,
            ssl_shutdown_timeout=self.deadlines.shutdown_s if tls else None,
        )
        self._writer = asyncio.StreamWriter(transport, streams, self._reader, loop)

    async def head(self) -> Head | None:
        """Return the next request's head."""
        if self._protocol.our_state is h11.DONE:
            self._protocol.start_next_cycle()
        try:
            event: object = self._protocol.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(self._waits_s):
                    await self._read()
                async with asyncio.timeout(self.deadlines.headers_s):
                    event = await self._next()
        except h11.RemoteProtocolError as error:
            return Head(status=error.error_status_hint)
        self._waits_s = self.deadlines.idle_s
        return _head(event) if isinstance(event, h11.Request) else None

    async def body(self, head: Head, *, proven: bool) -> bytes:
        """Return the body of the request, whose size its head tells."""
        body = bytearray()
        async with asyncio.timeout(self.deadlines.body_s if proven else self.deadlines.strangers_body_s):
            while True:
                try:
                    event = await self._next()
                except h11.RemoteProtocolError:
                    raise EOFError from None  # it has closed before the length that it told
                if not isinstance(event, h11.Data):
                    return bytes(body)
                body += event.data

    async def send(self, answer: Answer, *, last: bool) -> bool:
        """Send an answer; say whether another request may follow."""
        headers = [*answer.headers.items(), ("content-length", str(len(answer.body)))]
        headers += [("connection", "close")] if last else []
        self._write(h11.Response(status_code=answer.status, headers=headers))
        self._write(h11.Data(data=answer.body))
        self._write(h11.EndOfMessage())
        assert self._writer is not None  # the head was read from it
        async with asyncio.timeout(self.deadlines.send_s):
            await self._writer.drain()
        return not last and self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE

    def close(self, *, at_once: bool = False) -> None:
        """Give the connection back; unless at_once, what is written already still goes out."""
        if self._writer is None:
            if self._socket is not None:
                self._socket.close()
        elif at_once:
            self._writer.transport.abort()
        else:
            self._writer.close()

    def _write(self, event: "h11.Event") -> None:
        if (data := self._protocol.send(event)) and self._writer is not None:
            self._writer.write(data)

    async def _next(self) -> object:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            await self._read()
        return event

    async def _read(self) -> None:
        self._protocol.receive_data(await self._reader.read(PIECE_BYTES))


def _head(request: h11.Request) -> Head:
    headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in request.headers}
    path = request.target.partition(b"?")[0].decode("latin-1")
    if len(request.target) + sum(len(name) + len(value) for name, value in request.headers) > HEADER_LIMIT_BYTES:
        return Head(status=TOO_LARGE_STATUS)  # they came complete, in one piece
    if "transfer-encoding" in headers:
        return Head(status=CHUNKED_STATUS)
    return Head(request.method.decode("ascii"), path, headers, int(headers.get("content-length", "0")))
