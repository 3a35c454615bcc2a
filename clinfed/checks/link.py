"""The way to the coordinator: name, port, TLS and clock, with the cause of whatever does not work."""

import http.client
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from clinfed.checks.finding import Finding
from clinfed.errors import UserError

TIMEOUT_S = 10.0
RENEW_DAYS = 30
# Source: OpenSSL, include/openssl/x509_vfy.h
NOT_YET_VALID, EXPIRED, WRONG_NAMES = 9, 10, (62, 64)
WRONG_AUTHORITIES = (7, 18, 19, 20, 21, 30)  # 7 and 30: one of the same name, as of a folder that was made anew
# Flower's SuperLink takes a signature from 5 s in its future to 305 s in its past (flwr.common.constant, 1.41); its
# Date header is cut to whole seconds.
AHEAD_S, BEHIND_S = 5.0 + 1.0, 300.0


@dataclass(frozen=True)
class Address:
    """Where the coordinator listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address of "host:port". Raises: UserError."""
        host, _, port = text.removeprefix("https://").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"--superlink {text}: expected host:port, such as coordinator.example.org:8000; correct it")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def link(address: Address, authority: Path) -> list[Finding]:
    """Return how far a connection gets; the first row that fails is the last.

    authority: the certificate of the federation's own authority, ca.crt.
    """
    try:
        context = ssl.create_default_context(cafile=authority)  # as Flower's own client
    except (OSError, ssl.SSLError) as error:
        found = f"{authority} is no readable certificate ({type(error).__name__})"
        return [Finding("tls", "fail", found, "copy ca.crt from the coordinator again")]
    try:
        _connect(address).close()
    except OSError as error:
        return [_unreachable(address, error)]
    try:
        with context.wrap_socket(_connect(address), server_hostname=address.host) as secured:
            certificate = secured.getpeercert() or {}
            status, date = _health(secured, address)
    except ssl.SSLCertVerificationError as error:
        return [_untrusted(address, authority, error)]
    except (ssl.SSLError, OSError, http.client.HTTPException) as error:
        return [_no_tls(address, error)]
    rows = [_lifetime(str(certificate.get("notAfter", "")), address), _clock(date)]
    if status != http.client.OK:
        found = f"{address} speaks TLS, but /health answers {status}"
        rows.append(Finding("superlink", "fail", found, "no SuperLink listens there: correct host and port"))
    return rows


def _connect(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)


def _unreachable(address: Address, error: OSError) -> Finding:
    if isinstance(error, socket.gaierror):
        found = f"the name {address.host} is not resolved on this machine"
        return Finding("network", "fail", found, "correct the name, or have it entered in DNS or /etc/hosts")
    if isinstance(error, ConnectionRefusedError):
        found = f"{address} refuses the connection: nothing listens there"
        return Finding("network", "fail", found, "correct host and port, or have the coordinator start the SuperLink")
    if isinstance(error, TimeoutError):
        found = f"{address} did not answer in {TIMEOUT_S:.0f} s"
        return Finding("network", "fail", found, f"have firewalls on both sides let port {address.port} through")
    found = f"{address} cannot be reached ({type(error).__name__}, {error.strerror})"
    return Finding("network", "fail", found, "look at this machine's network")


def _no_tls(address: Address, error: Exception) -> Finding:
    """Return what listens there instead."""
    if _speaks_plain_http(address):
        found = f"{address} speaks plain HTTP, without TLS: notes' adapters would travel in the clear"
        remedy = "have the coordinator start the SuperLink with --ssl-certfile and --ssl-keyfile, without --insecure"
        return Finding("tls", "fail", found, remedy)
    reason = getattr(error, "reason", None) or type(error).__name__
    found = f"{address} takes the connection, but the TLS handshake fails ({reason})"
    return Finding("tls", "fail", found, "correct host and port; ask whether a firewall decrypts TLS")


def _speaks_plain_http(address: Address) -> bool:
    with suppress(OSError), _connect(address) as plain:
        plain.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return plain.recv(5) == b"HTTP/"
    return False


def _untrusted(address: Address, authority: Path, error: ssl.SSLCertVerificationError) -> Finding:
    """Return why the certificate is not accepted, and whose fault it is."""
    if error.verify_code in WRONG_AUTHORITIES:
        found = f"the certificate of {address} was not signed by the authority in {authority}"
        return Finding(
            "tls", "fail", found, "copy ca.crt from this federation's coordinator again, over a trusted channel"
        )
    presented = _Presented.fetch(address)
    if error.verify_code in WRONG_NAMES:
        names = ", ".join(presented.names) or "no name"
        found = f"the certificate is for {names}, not for {address.host}"
        remedy = f"connect to one of those names, or have the coordinator renew it with {address.host} among its names"
        return Finding("tls", "fail", found, remedy)
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return presented.out_of_time()
    return Finding("tls", "fail", f"the certificate of {address} is not accepted: {error.verify_message}", "renew it")


@dataclass(frozen=True)
class _Presented:
    """A certificate that was not accepted, as the other side shows it, and the time that it says it is."""

    names: list[str]
    begins: datetime
    ends: datetime
    their_clock: datetime | None

    @classmethod
    def fetch(cls, address: Address) -> "_Presented":
        from cryptography import x509

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only to name the cause; nothing is sent
        with context.wrap_socket(_connect(address), server_hostname=address.host) as secured:
            read = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
            with suppress(OSError, http.client.HTTPException):
                _, date = _health(secured, address)
        try:
            alternative = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(name.value) for name in alternative]
        except x509.ExtensionNotFound:
            names = []
        return cls(names, read.not_valid_before_utc, read.not_valid_after_utc, date)

    def out_of_time(self) -> Finding:
        now = datetime.now(UTC)
        found = f"the certificate is valid from {_day(self.begins)} to {_day(self.ends)}, this clock says {_day(now)}"
        if self.their_clock is not None and self.begins <= self.their_clock <= self.ends:
            found += f", the coordinator's {_day(self.their_clock)}"
            return Finding("tls", "fail", found, "set this machine's clock (timedatectl set-ntp true)")
        late = now > self.ends
        remedy = "have the coordinator renew its certificate" if late else "set the clocks of both machines"
        return Finding("tls", "fail", found, remedy + (", unless this clock is wrong" if late else ""))


def _health(secured: ssl.SSLSocket, address: Address) -> tuple[int, datetime | None]:
    """Return the status of GET /health, and the other side's clock."""
    secured.sendall(f"GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode("ascii"))
    response = http.client.HTTPResponse(secured)
    response.begin()
    date = response.getheader("date")
    return response.status, parsedate_to_datetime(date) if date else None


def _lifetime(ends: str, address: Address) -> Finding:
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400
    found = f"{address} has a certificate of this authority, valid for {days:.0f} more days"
    if days < RENEW_DAYS:
        return Finding("tls", "warn", found, "have the coordinator renew it")
    return Finding("tls", "ok", found)


def _clock(theirs: datetime | None) -> Finding:
    if theirs is None:
        return Finding("clock", "warn", "the coordinator does not say its time", "compare both clocks by hand")
    ahead = (datetime.now(UTC) - theirs).total_seconds()
    if -BEHIND_S < ahead < AHEAD_S:
        return Finding("clock", "ok", f"within {max(1, round(abs(ahead)))} s of the coordinator's")
    found = f"this clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
    remedy = "set both clocks by the network (timedatectl set-ntp true); signatures of another time are refused"
    return Finding("clock", "fail", found, remedy)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
