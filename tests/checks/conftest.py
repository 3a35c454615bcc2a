"""Real TLS servers on loopback, with an authority and certificates made on the spot."""

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clinfed.checks.link import Address

NOW = datetime.datetime.now(datetime.UTC)


class Federation:
    """An authority, and servers that it has certified."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self.name, self.key.public_key(), NOW, 3650)
        certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.authority = folder / "ca.crt"
        signed = certificate.sign(self.key, hashes.SHA256())
        self.authority.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self.servers: list[ThreadingHTTPServer] = []

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime.datetime, days: float
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(self.name, subject, key, x509.random_serial_number())
        begins -= datetime.timedelta(hours=1)
        return builder.not_valid_before(begins).not_valid_after(begins + datetime.timedelta(days=days))

    def certified(self, names: list[str], begins: datetime.datetime, days: float) -> Path:
        """Write a server's key and certificate into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        entries: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        builder = self._builder(subject, key.public_key(), begins, days)
        builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical=False)
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path = self.folder / f"{len(self.servers)}.pem"
        certificate = builder.sign(self.key, hashes.SHA256()).public_bytes(pem)
        path.write_bytes(certificate + key.private_bytes(pem, form, serialization.NoEncryption()))
        return path

    def serve(
        self,
        names: tuple[str, ...] = ("127.0.0.1",),
        *,
        begins: datetime.datetime = NOW,
        days: float = 90,
        tls: bool = True,
        clock_s: float = 0.0,
        path: str = "/health",
    ) -> Address:
        """Start a server and return its address. clock_s: how far its clock goes ahead of this machine's."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == path else 404)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=clock_s)
                return super().date_time_string(moment.timestamp())

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certified(list(names), begins, days))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.servers.append(server)
        return Address("127.0.0.1", server.server_address[1])


MakeFederation = Callable[[str], Federation]


@pytest.fixture
def make_federation(tmp_path: Path) -> Iterator[MakeFederation]:
    """Return a function that makes a federation of a name."""
    made: list[Federation] = []

    def make(name: str) -> Federation:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Federation(folder, name))
        return made[-1]

    yield make
    for server in (server for federation in made for server in federation.servers):
        server.shutdown()
        server.server_close()


@pytest.fixture
def federation(make_federation: MakeFederation) -> Federation:
    """Return a federation."""
    return make_federation("ours")
