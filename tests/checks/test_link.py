"""The way to the coordinator: each thing that can go wrong is named, with what to do."""

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clinfed.checks.finding import Finding
from clinfed.checks.link import Address, link
from clinfed.errors import UserError
from clinfed.experiments.launch import free_ports
from tests.checks.conftest import NOW, Federation, MakeFederation


def only(findings: list[Finding]) -> tuple[str, str, str, str]:
    [each] = findings
    return each.check, each.level, each.found, each.remedy


def test_a_right_connection_says_how_long_the_certificate_lasts_and_that_clocks_agree(federation: Federation) -> None:
    tls, clock = link(federation.serve(), federation.authority)
    assert (tls.check, tls.level, clock.check, clock.level) == ("tls", "ok", "clock", "ok")
    assert "valid for 90 more days" in tls.found


def test_a_certificate_that_ends_soon_is_a_warning(federation: Federation) -> None:
    assert link(federation.serve(days=20), federation.authority)[0].level == "warn"


@pytest.mark.parametrize("name", ["theirs", "ours"])  # of the same name: another folder, made anew
def test_another_authority(federation: Federation, make_federation: MakeFederation, name: str) -> None:
    check, level, found, remedy = only(link(federation.serve(), make_federation(name).authority))
    assert (check, level) == ("tls", "fail")
    assert "was not signed by the authority in" in found
    assert "copy ca.crt" in remedy


def test_plain_http_on_the_other_end(federation: Federation) -> None:
    check, level, found, remedy = only(link(federation.serve(tls=False), federation.authority))
    assert (check, level) == ("tls", "fail")
    assert "speaks plain HTTP, without TLS" in found
    assert "--ssl-certfile" in remedy


@pytest.mark.parametrize("names", [("coordinator.example.org",), ("10.1.2.3",)])
def test_a_certificate_for_another_host(federation: Federation, names: tuple[str, ...]) -> None:
    check, level, found, remedy = only(link(federation.serve(names), federation.authority))
    assert (check, level) == ("tls", "fail")
    assert f"the certificate is for {names[0]}, not for 127.0.0.1" in found
    assert "connect to one of those names" in remedy


def test_an_expired_certificate_where_both_clocks_say_so(federation: Federation) -> None:
    check, level, found, remedy = only(link(federation.serve(begins=NOW - timedelta(days=100)), federation.authority))
    assert (check, level) == ("tls", "fail")
    assert "valid from" in found
    assert remedy.startswith("have the coordinator renew its certificate")


def test_a_certificate_of_the_future_where_the_coordinators_clock_is_inside(federation: Federation) -> None:
    days = timedelta(days=50)
    address = federation.serve(begins=NOW + days, clock_s=days.total_seconds())
    check, level, found, remedy = only(link(address, federation.authority))
    assert (check, level) == ("tls", "fail")
    assert f"the coordinator's {NOW + days:%Y-%m-%d}" in found
    assert remedy.startswith("set this machine's clock")


def test_a_certificate_of_the_future_for_both_clocks(federation: Federation) -> None:
    _, _, _, remedy = only(link(federation.serve(begins=NOW + timedelta(days=50)), federation.authority))
    assert remedy == "set the clocks of both machines"


@pytest.mark.parametrize(("theirs_s", "words"), [(-60, "ahead of"), (3600, "behind")])
def test_a_clock_that_flower_would_not_accept(federation: Federation, theirs_s: float, words: str) -> None:
    tls, clock = link(federation.serve(clock_s=theirs_s), federation.authority)
    assert (tls.level, clock.level) == ("ok", "fail")
    assert f"s {words} the coordinator's" in clock.found


def test_two_minutes_behind_are_accepted(federation: Federation) -> None:
    assert link(federation.serve(clock_s=120), federation.authority)[1].level == "ok"  # up to 305 s are


def test_a_server_that_is_no_superlink(federation: Federation) -> None:
    assert [each.check for each in link(federation.serve(path="/other"), federation.authority)][-1] == "superlink"


def test_nothing_listens(federation: Federation) -> None:
    check, level, found, _ = only(link(Address("127.0.0.1", free_ports(1)[0]), federation.authority))
    assert (check, level) == ("network", "fail")
    assert "refuses the connection: nothing listens there" in found


def test_a_name_that_is_not_resolved(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    check, level, found, remedy = only(link(Address("nowhere.invalid", 8000), federation.authority))
    assert (check, level) == ("network", "fail")
    assert "the name nowhere.invalid is not resolved" in found
    assert "DNS or /etc/hosts" in remedy


def test_a_port_that_speaks_neither(federation: Federation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(3):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        _, level, found, _ = only(link(Address("127.0.0.1", server.getsockname()[1]), federation.authority))
        thread.join()
    assert level == "fail"
    assert "the TLS handshake fails" in found


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_an_authority_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    check, level, found, _ = only(link(Address("127.0.0.1", 1), tmp_path / "ca.crt"))
    assert (check, level) == ("tls", "fail")
    assert "is no readable certificate" in found


@pytest.mark.parametrize("text", ["coordinator", ":8000", "host:", "host:0", "host:70000", "host:http"])
def test_an_address_without_host_or_port(text: str) -> None:
    with pytest.raises(UserError, match="expected host:port"):
        Address.parse(text)


def test_addresses(federation: Any) -> None:
    assert Address.parse("https://a.example.org:8000") == Address("a.example.org", 8000)
    assert str(Address.parse("[::1]:8000")) == "[::1]:8000"
