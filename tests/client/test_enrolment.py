"""Whether a coordinator knows a key: asked of Flower's own SuperLink application, over TLS, in this process."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from client.enrolment import Enrolment, ask
from tests.checks.conftest import NOW, Federation


@dataclass
class Coordinator:
    """A SuperLink's application behind a port, and its state."""

    address: str
    authority: Path
    state: Any

    def register(self, key: ec.EllipticCurvePrivateKey) -> int:
        """Do what `flwr supernode register` does; return the node's id."""
        return int(self.state.create_node("me", "me", public_key_to_bytes(key.public_key()), 0))


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    """Return a SuperLink with TLS."""
    from flwr.superlink.main import create_app

    federation = Federation(tmp_path, "authority")
    certificate = str(federation.certified(["127.0.0.1"], NOW, 90))
    app = create_app()
    options: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": certificate, "log_level": "error"}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, ws="none", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Coordinator(f"127.0.0.1:{port}", federation.authority, app.state.linkstate_factory.state())
    server.should_exit = True
    thread.join()


def test_a_registered_key_is_told_from_an_unknown_one_and_nobody_goes_online(coordinator: Coordinator) -> None:
    known, unknown = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    node = coordinator.register(known)
    answers = [ask(coordinator.address, coordinator.authority, key) for key in (known, unknown)]
    assert answers == [Enrolment.REGISTERED, Enrolment.UNKNOWN]
    [info] = coordinator.state.get_node_info(node_ids=[node])
    assert info.status == "registered"


def test_a_signature_of_another_time_is_refused_as_such(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime

    key = ec.generate_private_key(ec.SECP384R1())
    coordinator.register(key)
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    monkeypatch.setattr("flwr.supernode.node_auth_http_interceptor.now", lambda: ahead)
    assert ask(coordinator.address, coordinator.authority, key) is Enrolment.SIGNATURE_REFUSED


def test_what_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    federation = Federation(tmp_path, "authority")
    key = ec.generate_private_key(ec.SECP384R1())
    address = federation.serve()  # a server that knows nothing of Flower
    assert ask(str(address), federation.authority, key) is Enrolment.UNTOLD
    for server in federation.servers:
        server.shutdown()
        server.server_close()
    assert ask(str(address), federation.authority, key) is Enrolment.UNTOLD
