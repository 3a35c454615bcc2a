"""The keys of a federation: its own authority, the coordinator's server certificate, and a key pair for each site.

All are elliptic (P-384), as Flower's SuperNode authentication wants them. The authority signs server certificates only:
sites prove who they are with their own key, which the coordinator registers.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650  # sites would have to replace ca.crt all at once, so it outlives any project
SERVER_DAYS = 397  # the longest that browsers accept; a yearly renewal is a habit that one keeps
EARLIER = timedelta(days=1)  # clocks of sites that go slow must not refuse a certificate of today
PRIVATE_MODE = 0o600
LOCAL = ("localhost", "127.0.0.1")  # the coordinator's own commands reach the SuperLink by these


@dataclass(frozen=True)
class Authority:
    """The federation's own certificate authority."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str, now: datetime | None = None) -> "Authority":
        """Return a new authority that may sign server certificates, but no further authority."""
        key = ec.generate_private_key(ec.SECP384R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), now or datetime.now(UTC), AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        return cls(key, builder.sign(key, hashes.SHA384()))

    @classmethod
    def read(cls, key: Path, certificate: Path) -> "Authority":
        """Return an authority from its files."""
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return cls(loaded, x509.load_pem_x509_certificate(certificate.read_bytes()))

    def write(self, key: Path, certificate: Path) -> None:
        """Write both files, the key for this account only."""
        write_private(key, _pem(self.key))
        certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, host: str, now: datetime | None = None) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Return a new key and certificate of the server at a host and at LOCAL; it ends before the authority does."""
        key = ec.generate_private_key(ec.SECP384R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])  # 64: X.520's bound
        now = now or datetime.now(UTC)
        days = min(SERVER_DAYS, (self.certificate.not_valid_after_utc - now).days)
        builder = _builder(subject, self.certificate.subject, key.public_key(), now, days)
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(_names(dict.fromkeys((host, *LOCAL)))), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), False),
        ):
            builder = builder.add_extension(extension, critical)
        return key, builder.sign(self.key, hashes.SHA384())


def write_server(authority: Authority, host: str, key: Path, certificate: Path) -> None:
    """Write a new server key and certificate."""
    server_key, server_certificate = authority.certify(host)
    write_private(key, _pem(server_key))
    certificate.write_bytes(server_certificate.public_bytes(serialization.Encoding.PEM))


def write_site_keys(private: Path, public: Path) -> None:
    """Write a new key pair as Flower reads it: both in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    openssh, ssh_line = serialization.PrivateFormat.OpenSSH, serialization.PublicFormat.OpenSSH
    write_private(private, key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.OpenSSH, ssh_line) + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that no other account can read at any moment; it replaces an older one in one step.

    Written by root, it belongs to whom the older one did, or else the folder: the service's account, which reads it.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as file:
        file.write(content)
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.chown(new, owner.st_uid, owner.st_gid)
    new.replace(path)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - EARLIER).not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_name(host) for host in hosts]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
