"""The gate for sites, on loopback, in front of a small server in the SuperLink's place."""

import asyncio
import contextlib
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from clinfed.deploy import rooms
from clinfed.deploy.certificates import write_site_keys
from clinfed.deploy.gate import BODY_LIMIT_BYTES, FORWARDED, STRANGERS_BODY_LIMIT_BYTES, Gate
from clinfed.deploy.known_keys import LOOK_EVERY_S, REPLACED, KnownKeys
from clinfed.deploy.rooms import Rooms
from clinfed.deploy.visit import HEADER_LIMIT_BYTES, Deadlines
from clinfed.experiments.launch import free_ports

SHORT_S = 0.3
SHORT = Deadlines(SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S, SHORT_S)
WAIT_S = 30.0  # for what must happen soon


class Behind(BaseHTTPRequestHandler):
    """Says what reached it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.reached.append((self.path, body, dict(self.headers)))  # type: ignore[attr-defined]
        status = 401 if body == b"unsigned" else 200
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("set-cookie", "session=north; Path=/")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def do_GET(self) -> None:
        self.server.reached.append((self.path, b"", {}))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def behind() -> Iterator[Any]:
    """Return the server behind the gate."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    server.reached = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Running:
    """A gate in a thread of its own, in front of a port."""

    def __init__(self, port: int, folder: Path, deadlines: Deadlines | None = None) -> None:
        self.folder = folder
        (folder / "sites").mkdir(exist_ok=True)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.listening.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.gate = Gate(f"http://127.0.0.1:{port}", verify=False, sites=folder / "sites", deadlines=deadlines)
        self.serving = self.loop.create_task(self.gate.serve(self.listening, None))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.serving)
        self.loop.run_until_complete(asyncio.sleep(0))  # transports that are closed let go of their sockets
        self.loop.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.serving.cancel)
        self.thread.join()
        self.listening.close()

    def register(self, site: str) -> ec.EllipticCurvePrivateKey:
        """Return the private key of a site that is registered from now on."""
        sites = self.folder / "sites"
        write_site_keys(self.folder / f"{site}.key", sites / f"{site}.pub")
        (sites / f"{site}.id").write_text("1")
        self.gate.keys._seen = None  # else it looks after LOOK_EVERY_S
        key = load_ssh_private_key((self.folder / f"{site}.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """Return what the gate answers."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            return client.request(method, path, content=content, headers=headers)

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        """Return a connection from an address of this machine."""
        made = socket.create_connection(("127.0.0.1", self.port), WAIT_S, (address, 0))
        made.settimeout(WAIT_S)
        return made


def signed(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return the headers that Flower's SuperNode sends."""
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(b"now", ec.ECDSA(hashes.SHA256()))
    encoded = {"flwr-public-key": b64encode(pem).decode(), "flwr-signature": b64encode(signature).decode()}
    return {**encoded, "flwr-timestamp": "now"}


def answer_to(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes, however it does."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.fixture
def start(behind: Any, tmp_path: Path) -> Iterator[Any]:
    """Return what starts a gate in front of the server behind it."""
    started: list[Running] = []

    def run(deadlines: Deadlines | None = None, port: int = 0) -> Running:
        started.append(Running(port or behind.server_port, tmp_path, deadlines))
        return started[-1]

    yield run
    for each in started:
        each.stop()


@pytest.fixture
def gate(start: Any) -> Running:
    """Return a gate with its own deadlines."""
    gate: Running = start()
    return gate


def test_a_call_of_a_supernode_passes_with_its_signature_and_the_answer_comes_back(gate: Running, behind: Any) -> None:
    answer = gate.ask("POST", "/v1/fleet/pull-messages", b"abc", **{"flwr-signature": "signed"})
    assert (answer.status_code, answer.content) == (200, b"cba")
    assert answer.headers["content-type"] == "application/x-protobuf"
    [(path, body, headers)] = behind.reached
    assert (path, body, headers["flwr-signature"]) == ("/v1/fleet/pull-messages", b"abc", "signed")


def test_a_refusal_of_the_superlink_comes_back_as_it_is(gate: Running, behind: Any) -> None:
    assert gate.ask("POST", "/v1/fleet/get-fab", b"unsigned").status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/control/start-run"),
        ("POST", "/v1/control/register-node"),
        ("POST", "/v1/runtime/acquire-task"),
        ("POST", "/v1/fleet/register-node"),  # a SuperNode without a registered key would call it
        ("POST", "/v1/fleet/../control/start-run"),
        ("POST", "/v1/fleet/%2e%2e/control/start-run"),
        ("POST", "/v1/fleet/pull-messages/../../control/start-run"),
        ("POST", "//v1/control/start-run"),
        ("POST", "/v1/fleet/pull-messages/"),
        ("GET", "/v1/fleet/pull-messages"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/"),
    ],
)
def test_nothing_else_passes(gate: Running, behind: Any, method: str, path: str) -> None:
    answer = gate.ask(method, path, b"")
    assert (answer.status_code, answer.content) == (404, b"")
    assert behind.reached == []


def test_exactly_the_calls_of_flowers_own_supernode_pass_but_registering(gate: Running, behind: Any) -> None:
    # Read from Flower itself, so that a version with other calls is noticed here.
    from flwr.superlink.routers.fleet.router import router

    served = {("POST", route.path) for route in router.routes}
    assert served - FORWARDED == {("POST", "/v1/fleet/register-node"), ("POST", "/v1/fleet/unregister-node")}
    assert FORWARDED - served == {("GET", "/health")}


def test_a_question_behind_the_path_does_not_pass(gate: Running, behind: Any) -> None:
    assert gate.ask("GET", "/health?next=/v1/control").status_code == 200
    assert behind.reached[0][0] == "/health"


def test_a_site_may_send_a_large_body_and_a_stranger_may_not(gate: Running, behind: Any) -> None:
    def status(size: int, **headers: str) -> int:
        return gate.ask("POST", "/v1/fleet/push-object", bytes(size), **headers).status_code

    north = signed(gate.register("north"))
    assert status(BODY_LIMIT_BYTES, **north) == 200
    assert status(BODY_LIMIT_BYTES + 1, **north) == 413
    assert status(STRANGERS_BODY_LIMIT_BYTES) == 200
    assert status(STRANGERS_BODY_LIMIT_BYTES + 1) == 413
    assert status(STRANGERS_BODY_LIMIT_BYTES + 1, **signed(ec.generate_private_key(ec.SECP384R1()))) == 413
    forged = {**north, "flwr-timestamp": "later"}  # whoever has seen a public key has no signature of another time
    assert status(STRANGERS_BODY_LIMIT_BYTES + 1, **forged) == 413
    assert len(behind.reached) == 2


def test_a_body_of_unknown_length_is_refused(gate: Running, behind: Any) -> None:
    with gate.connect() as connection:
        connection.sendall(b"POST /v1/fleet/push-object HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        assert answer_to(connection).startswith(b"HTTP/1.1 411 ")
    assert behind.reached == []


def test_a_header_without_end_is_cut_off_before_it_costs_anything(gate: Running, behind: Any) -> None:
    with gate.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\nx: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 110_000_000:
                sent += connection.send(bytes(65536).replace(b"\0", b"a"))
        assert answer_to(connection).startswith((b"HTTP/1.1 431 ", b""))
    assert sent < 16_000_000, "what the two sockets' buffers take"
    assert behind.reached == []


def test_headers_up_to_the_limit_pass(gate: Running) -> None:
    assert gate.ask("GET", "/health", x="a" * (HEADER_LIMIT_BYTES - 1024)).status_code == 200
    assert gate.ask("GET", "/health", x="a" * HEADER_LIMIT_BYTES).status_code == 431


HALF_SENT = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half of the headers": b"GET /health HTTP/1.1\r\nhost: a\r\n",
    "half of the body": b"POST /v1/fleet/get-run HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
}


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
def test_who_stops_in_the_middle_is_let_go_after_the_deadline(start: Any, sent: bytes) -> None:
    gate = start(SHORT)
    with gate.connect() as connection:
        connection.sendall(sent)
        began = time.monotonic()
        assert answer_to(connection) == b""
    assert time.monotonic() - began < 10, "three deadlines of 0.3 s on a busy machine"


def test_one_byte_at_a_time_does_not_prolong_the_deadline(start: Any) -> None:
    gate = start(SHORT)
    with gate.connect() as connection:
        connection.settimeout(SHORT_S / 10)
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < WAIT_S:
            try:
                connection.send(b"G")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
    assert ended


def test_a_handshake_that_does_not_begin_is_let_go_too(behind: Any, tmp_path: Path) -> None:
    # Of TLS only the deadline is looked at here; tests/deployment speaks it.
    import ssl

    gate = Gate(f"http://127.0.0.1:{behind.server_port}", verify=False, sites=tmp_path, deadlines=SHORT)

    async def silent() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.ensure_future(gate.serve(listening, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            received = await asyncio.wait_for(reader.read(), WAIT_S)
            writer.close()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        return received

    assert asyncio.run(silent()) == b""


def test_more_silent_connections_than_there_is_room_for_do_not_keep_a_site_out(gate: Running) -> None:
    silent = []
    for number in range(600):
        with contextlib.suppress(OSError):  # one that is turned away at once
            silent.append(gate.connect(f"127.0.{1 + number % 60}.1"))
    deadline = time.monotonic() + WAIT_S
    while True:  # from another address, and again where the last stranger has only just come
        with contextlib.suppress(httpx.TransportError):
            assert gate.ask("GET", "/health").status_code == 200
            break
        assert time.monotonic() < deadline
    assert len(gate.gate.rooms.guests) <= rooms.STRANGERS
    for each in silent:
        each.close()


def test_no_cookie_of_one_answer_goes_out_with_the_next_request_or_back_to_a_site(gate: Running, behind: Any) -> None:
    for _ in range(2):
        answer = gate.ask("POST", "/v1/fleet/pull-messages", b"abc", cookie="mine=1")
        assert "set-cookie" not in answer.headers
    assert [sorted(name.lower() for name in headers if "cookie" in name.lower()) for *_, headers in behind.reached] == [
        [],
        [],
    ]


def test_a_site_keeps_its_connection_and_a_stranger_has_one_request(gate: Running) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{gate.port}", trust_env=False) as client:
        assert client.get("/health").headers["connection"] == "close"
        north = signed(gate.register("north"))
        assert "connection" not in client.post("/v1/fleet/pull-messages", content=b"a", headers=north).headers


def test_a_key_has_only_so_many_connections(gate: Running) -> None:
    north, south = (signed(gate.register(site)) for site in ("north", "south"))
    with contextlib.ExitStack() as stack:

        def status(headers: dict[str, str]) -> int:
            client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{gate.port}", trust_env=False))
            return client.post("/v1/fleet/pull-messages", content=b"a", headers=headers).status_code

        assert [status(north) for _ in range(rooms.PER_KEY)] == [200] * rooms.PER_KEY
        assert (status(north), status(south)) == (429, 200)


def test_without_a_superlink_sites_are_told_to_try_again(start: Any) -> None:
    [port] = free_ports(1)
    assert start(port=port).ask("POST", "/v1/fleet/pull-messages").status_code == 503


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_stranger_that_has_been_there_longest_makes_way_but_not_within_a_second() -> None:
    clock, closed = Clock(), []
    room = Rooms(clock)
    for number in range(rooms.PER_ADDRESS):
        assert room.admit("10.0.0.1", lambda number=number: closed.append(number))
    assert room.admit("10.0.0.1", int) is None
    assert room.admit("10.0.0.2", int), "another address has its own places"
    clock.now = rooms.GRACE_S
    assert room.admit("10.0.0.1", int)
    assert closed == [0]


def test_strangers_elsewhere_never_take_the_room_at_a_sites_address() -> None:
    clock = Clock()
    room = Rooms(clock)
    site = room.admit("10.0.0.1", int)
    assert site
    assert room.prove(site, "north")
    for number in range(rooms.STRANGERS):
        assert room.admit(f"10.1.{number}.1", int)
    assert room.admit("10.2.0.1", int) is None
    assert room.admit("10.0.0.1", int), "a new connection of the site"
    clock.now = rooms.REMEMBERED_S + 1
    clock.now, before = clock.now, len(room.guests)
    assert room.admit("10.0.0.1", int), "a stranger's again, in whose room the oldest makes way"
    assert len(room.guests) == before


def test_one_ipv6_machine_counts_as_one_address() -> None:
    assert rooms.network("2001:db8::1") == rooms.network("2001:db8::ffff:1") != rooms.network("2001:db8:0:1::1")
    assert rooms.network("::ffff:10.0.0.1") == "10.0.0.1"


def test_a_renewed_key_and_the_one_before_it_count_until_the_site_is_unregistered(tmp_path: Path) -> None:
    pairs = []
    for name in (f"north{REPLACED}", "north.pub"):
        write_site_keys(tmp_path / "north.key", tmp_path / name)
        key = load_ssh_private_key((tmp_path / "north.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        pairs.append(signed(key))

    def signers() -> list[str]:
        return [KnownKeys(tmp_path).signer(headers) for headers in pairs]

    assert signers() == ["", ""], "not registered"
    (tmp_path / "north.id").write_text("1")
    assert signers() == ["north", "north"]
    (tmp_path / f"north{REPLACED}").unlink()
    assert signers() == ["", "north"]


def test_a_site_that_is_registered_later_is_known_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site_keys(tmp_path / "north.key", tmp_path / "north.pub")
    key = load_ssh_private_key((tmp_path / "north.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    keys, clock = KnownKeys(tmp_path), Clock()
    monkeypatch.setattr("clinfed.deploy.known_keys.time.monotonic", clock)
    assert keys.signer(signed(key)) == ""
    (tmp_path / "north.id").write_text("1")
    assert keys.signer(signed(key)) == ""
    clock.now = LOOK_EVERY_S
    assert keys.signer(signed(key)) == "north"
