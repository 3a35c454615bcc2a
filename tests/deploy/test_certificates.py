"""The authority, what it signs, and the key pairs of sites."""

import ipaddress
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from clinfed.deploy.certificates import Authority, write_private, write_site_keys

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make("a federation", NOW)


def verify(certificate: x509.Certificate, authority: Authority, host: x509.DNSName, at: datetime) -> None:
    """Check the chain as a strict TLS client does. Raises: VerificationError."""
    store = Store([authority.certificate])
    PolicyBuilder().store(store).time(at).build_server_verifier(host).verify(certificate, [])


@pytest.mark.parametrize("host", ["coordinator.example.org", "localhost"])
def test_a_strict_client_trusts_the_server_at_each_of_its_names(authority: Authority, host: str) -> None:
    _, certificate = authority.certify("coordinator.example.org", NOW)
    verify(certificate, authority, x509.DNSName(host), NOW)


def test_a_strict_client_trusts_it_at_no_other_name(authority: Authority) -> None:
    _, certificate = authority.certify("coordinator.example.org", NOW)
    with pytest.raises(VerificationError):
        verify(certificate, authority, x509.DNSName("example.org"), NOW)


def test_another_authority_of_the_same_name_does_not_vouch_for_it(authority: Authority) -> None:
    _, certificate = authority.certify("coordinator.example.org", NOW)
    with pytest.raises(VerificationError):
        verify(certificate, Authority.make("a federation", NOW), x509.DNSName("coordinator.example.org"), NOW)


@pytest.mark.parametrize("host", ["10.1.2.3", "2001:db8::1"])
def test_an_address_is_named_as_an_address(authority: Authority, host: str) -> None:
    _, certificate = authority.certify(host, NOW)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    loopback = ipaddress.ip_address("127.0.0.1")
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(host), loopback]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_the_loopback_is_not_named_twice(authority: Authority) -> None:
    _, certificate = authority.certify("127.0.0.1", NOW)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == 2


def test_lifetimes_are_ten_years_and_397_days_and_begin_a_day_early(authority: Authority) -> None:
    _, server = authority.certify("coordinator.example.org", NOW)
    for certificate, days in ((authority.certificate, 3650), (server, 397)):
        assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
        assert certificate.not_valid_after_utc == NOW + timedelta(days=days)


def test_a_server_certificate_ends_no_later_than_its_authority(authority: Authority) -> None:
    _, certificate = authority.certify("coordinator.example.org", NOW + timedelta(days=3600))
    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_the_server_may_be_a_server_only_and_the_authority_signs_no_other_authority(authority: Authority) -> None:
    _, server = authority.certify("coordinator.example.org", NOW)
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_an_authority_comes_back_from_its_files(authority: Authority, tmp_path: Path) -> None:
    authority.write(tmp_path / "ca.key", tmp_path / "ca.crt")
    again = Authority.read(tmp_path / "ca.key", tmp_path / "ca.crt")
    _, certificate = again.certify("coordinator.example.org", NOW)
    verify(certificate, authority, x509.DNSName("coordinator.example.org"), NOW)


def test_a_sites_keys_are_a_pair_on_the_curve_that_flower_takes(tmp_path: Path) -> None:
    write_site_keys(tmp_path / "north.key", tmp_path / "north.pub")
    private = load_ssh_private_key((tmp_path / "north.key").read_bytes(), None)
    public = load_ssh_public_key((tmp_path / "north.pub").read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert private.public_key() == public


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for another account")
def test_what_root_renews_stays_readable_for_the_services_account(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    for content in (b"first", b"renewed"):
        write_private(tmp_path / "server.key", content)
        found = (tmp_path / "server.key").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 1235, 0o600)
        os.chown(tmp_path, 0, 0)  # the file's own owner counts from now on


def test_a_private_file_is_for_this_account_only_also_where_an_open_one_was(tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_private(path, b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
