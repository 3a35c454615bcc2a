"""The gate for sites, in front of a small server in the SuperLink's place."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from clinfed.deploy.gate import BODY_LIMIT_BYTES, FORWARDED, Gate
from clinfed.experiments.launch import free_ports


class Behind(BaseHTTPRequestHandler):
    """Says what reached it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.reached.append((self.path, body, dict(self.headers)))  # type: ignore[attr-defined]
        status = 401 if body == b"unsigned" else 200
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
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


def ask(port: int, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
    """Return what the gate in front of a port answers."""

    async def once() -> httpx.Response:
        gate = Gate(f"http://127.0.0.1:{port}", verify=False)
        transport = httpx.ASGITransport(gate)
        async with gate.client, httpx.AsyncClient(transport=transport, base_url="https://gate") as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(once())


def test_a_call_of_a_supernode_passes_with_its_signature_and_the_answer_comes_back(behind: Any) -> None:
    answer = ask(behind.server_port, "POST", "/v1/fleet/pull-messages", b"abc", **{"flwr-signature": "signed"})
    assert (answer.status_code, answer.content) == (200, b"cba")
    assert answer.headers["content-type"] == "application/x-protobuf"
    [(path, body, headers)] = behind.reached
    assert (path, body, headers["flwr-signature"]) == ("/v1/fleet/pull-messages", b"abc", "signed")


def test_a_refusal_of_the_superlink_comes_back_as_it_is(behind: Any) -> None:
    assert ask(behind.server_port, "POST", "/v1/fleet/get-fab", b"unsigned").status_code == 401


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
def test_nothing_else_passes(behind: Any, method: str, path: str) -> None:
    answer = ask(behind.server_port, method, path, b"")
    assert (answer.status_code, answer.content) == (404, b"")
    assert behind.reached == []


def test_exactly_the_calls_of_flowers_own_supernode_pass_but_registering(behind: Any) -> None:
    # Read from Flower itself, so that a version with other calls is noticed here.
    from flwr.superlink.routers.fleet.router import router

    served = {("POST", route.path) for route in router.routes}
    assert served - FORWARDED == {("POST", "/v1/fleet/register-node"), ("POST", "/v1/fleet/unregister-node")}
    assert FORWARDED - served == {("GET", "/health")}


def test_a_question_behind_the_path_does_not_pass(behind: Any) -> None:
    assert ask(behind.server_port, "GET", "/health?next=/v1/control").status_code == 200
    assert behind.reached[0][0] == "/health"


def test_a_body_over_the_limit_is_refused_before_anyone_reads_it_whole(behind: Any) -> None:
    largest = bytes(BODY_LIMIT_BYTES)
    assert ask(behind.server_port, "POST", "/v1/fleet/push-object", largest).status_code == 200
    assert ask(behind.server_port, "POST", "/v1/fleet/push-object", largest + b"1").status_code == 413
    assert len(behind.reached) == 1


def test_without_a_superlink_sites_are_told_to_try_again() -> None:
    [port] = free_ports(1)
    assert ask(port, "POST", "/v1/fleet/pull-messages").status_code == 503
