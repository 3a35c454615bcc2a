"""Names and addresses: what is refused, and where the gate listens."""

from pathlib import Path

import pytest

from clinfed.deploy.plan import Plan
from clinfed.errors import UserError


@pytest.mark.parametrize(
    "name", ["North", "", "coordinator", "authority", "../north", "a b", "-north", "north;rm", "n" * 41]
)
def test_a_name_that_could_not_be_a_file_or_a_unit_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a site"):
        Plan(("south", name), "example.org")


def test_two_sites_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="name each site once"):
        Plan(("north", "north"), "example.org")


@pytest.mark.parametrize("host", ["https://example.org", "example.org:8000", "", "a b", "x$(id)", "-example.org"])
def test_a_host_that_is_no_name_and_no_address_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="not a host name or IP address"):
        Plan(("north",), host)


@pytest.mark.parametrize(("port", "control_port"), [(8001, 8001), (0, 8001), (8000, 65536)])
def test_two_ports_are_wanted(port: int, control_port: int) -> None:
    with pytest.raises(UserError, match=r"--(control-)?port"):
        Plan(("north",), "example.org", port, control_port)


@pytest.mark.parametrize("place", ["opt", "/opt/two words", "/opt/$HOME", "/opt\nUser=root", ""])
def test_a_place_that_would_mean_something_else_in_a_unit_is_refused(place: str) -> None:
    with pytest.raises(UserError, match="cannot stand in a systemd unit"):
        Plan(("north",), "example.org", place=place)


@pytest.mark.parametrize(
    ("host", "address", "listen"),
    [
        ("example.org", "example.org:8000", "0.0.0.0"),
        ("10.1.2.3", "10.1.2.3:8000", "0.0.0.0"),
        ("2001:db8::1", "[2001:db8::1]:8000", "::"),
        ("127.0.0.1", "127.0.0.1:8000", "127.0.0.1"),
        ("localhost", "localhost:8000", "127.0.0.1"),
        ("::1", "[::1]:8000", "::1"),
    ],
)
def test_sites_and_gate_meet_at_the_host(host: str, address: str, listen: str) -> None:
    plan = Plan(("north",), host)
    assert (plan.address, plan.listen) == (address, listen)


@pytest.mark.parametrize("given", ["example.org", "10.0.0.1 10.0.0.2", "any", "10.0.0.0/40"])
def test_an_address_that_systemd_would_not_take_is_refused(given: str) -> None:
    with pytest.raises(UserError, match=r"--addresses: .* is not an IP address or network"):
        Plan(("north",), "example.org", addresses=(given,))


def test_sites_of_one_machine_get_a_port_each() -> None:
    plan = Plan(("north", "south"), "localhost")
    assert [plan.node_port(site) for site in plan.sites] == [9094, 9095]


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = Plan(("north", "south"), "example.org", 1, 2, "/srv", "abc", ("10.0.0.1",), ("10.1.0.0/16",))
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert "abc" not in (tmp_path / "plan.json").read_text("utf-8")


@pytest.mark.parametrize("text", ["", "[]", '{"sites": 3}', '{"sites": ["a"], "nope": 1}'])
def test_a_broken_plan_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match="not as `clinfed deploy init` wrote it"):
        Plan.read(tmp_path / "plan.json")
