"""What `clinfed deploy init` and `renew` write: who gets which file, and whether each can be used."""

import configparser
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from clinfed import fingerprints
from clinfed.cli import main
from clinfed.clinic import site as sites
from clinfed.clinic.policy import Policy
from clinfed.deploy.known_keys import REPLACED
from server import settings

SITES = ("north", "south", "coast")
UNITS = ("coordinator/clinfed-superlink.service", "coordinator/clinfed-gate.service", "north/clinfed-north.service")
SCRIPTS = ("superlink", "gate", "flwr", "register", "unregister", "run", "protect", "bases")


def init(folder: Path, *arguments: str) -> int:
    names = ["--sites", ",".join(SITES), "--host", "coordinator.example.org", "--place", str(folder)]
    return main(["deploy", "init", *names, "-o", str(folder), *arguments])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folders of three sites and their coordinator, which are only looked at."""
    folder = tmp_path_factory.mktemp("deploy") / "federation"
    assert init(folder) == 0
    return folder


@pytest.fixture
def own(written: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return shutil.copytree(written, tmp_path / "federation")


def private_keys(folder: Path) -> set[str]:
    """Return the files that hold a private key, by what is in them and not by their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in files if b"PRIVATE KEY" in path.read_bytes()}


def test_a_private_key_lies_with_its_owner_and_nowhere_else(written: Path) -> None:
    owned = {f"{site}/{site}.key" for site in SITES}
    own = {f"coordinator/{name}.key" for name in ("operator", "server")}
    assert private_keys(written) == {"authority/ca.key", *own, *owned}


def test_private_files_and_folders_are_for_their_account_only(written: Path) -> None:
    for name in private_keys(written):
        assert stat.S_IMODE((written / name).stat().st_mode) == 0o600, name
    for folder in ("", "authority", "coordinator", *SITES, "north/state", "coordinator/state"):
        assert stat.S_IMODE((written / folder).stat().st_mode) == 0o700, folder


def test_no_two_keys_are_equal(written: Path) -> None:
    contents = [(written / name).read_bytes() for name in private_keys(written)]
    assert len(set(contents)) == len(contents) == 6


def test_the_coordinator_has_the_public_key_of_each_site_and_each_site_its_authority(written: Path) -> None:
    for site in SITES:
        public = (written / "coordinator" / "sites" / f"{site}.pub").read_bytes()
        assert public == (written / site / f"{site}.pub").read_bytes()
        for name in ("ca.crt", "operator.pub"):
            assert (written / site / name).read_bytes() == (written / "coordinator" / name).read_bytes()


def test_scripts_can_be_started_and_are_bash(written: Path) -> None:
    scripts = sorted(written.rglob("*.sh"))
    assert len(scripts) == len(SCRIPTS) + 5 * len(SITES), "supernode, check, site, protect and bases at each site"
    for script in scripts:
        assert script.stat().st_mode & stat.S_IXUSR
        subprocess.run(["bash", "-n", str(script)], check=True)


def read_unit(path: Path) -> configparser.ConfigParser:
    """Return a unit's sections; of a key that stands twice, the last."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text("utf-8"))
    return unit


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_its_own_script_and_again_whenever_it_ends(written: Path, name: str) -> None:
    unit = read_unit(written / name)
    service = unit["Service"]
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "systemd would give up after five refusals"
    assert Path(service["ExecStart"]).is_file()
    assert all(Path(path).is_dir() for path in service.get("ReadWritePaths", "").split())


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_a_unit(written: Path, name: str) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not on this machine")
    done = subprocess.run([verify, "verify", str(written / name)], capture_output=True, text=True)
    assert Path(name).name not in done.stderr  # it may complain of the machine's own units


HARDENED = {
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "PrivateTmp": "yes",
    "SystemCallFilter": "@system-service",
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_takes_from_its_service_what_it_does_not_need(written: Path, name: str) -> None:
    service = read_unit(written / name)["Service"]
    assert {key: service.get(key) for key in HARDENED} == HARDENED
    assert service["MemoryMax"] in ("80%", "1G")
    assert service["User"] == "clinfed"


@pytest.mark.parametrize("name", UNITS)
def test_systemd_calls_a_unit_little_exposed(written: Path, name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine")
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=30", "--no-pager", str(written / name)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]  # of 0 to 100; a service without settings has 96


def allowed(path: Path) -> list[str]:
    """Return the lines of a unit about addresses, those that are only proposed too."""
    return [line for line in path.read_text("utf-8").splitlines() if "IPAddress" in line]


def test_the_superlink_and_a_site_reach_no_address_but_those_that_they_need(written: Path, tmp_path: Path) -> None:
    deny = "IPAddressDeny=any"
    assert allowed(written / UNITS[0]) == [deny, "IPAddressAllow=localhost"]
    # Of a coordinator with a name, the site knows no address yet, and reaches nothing until it writes it down.
    assert allowed(written / UNITS[2]) == [deny, "IPAddressAllow=localhost", "# IPAddressAllow=192.0.2.7 192.0.2.53"]
    assert allowed(written / UNITS[1]) == [f"# {deny}", "# IPAddressAllow=localhost 192.0.2.0/24"]
    assert init(tmp_path, "--addresses", "10.0.0.1,10.0.0.53", "--sites-addresses", "10.1.0.0/16") == 0
    assert allowed(tmp_path / UNITS[2]) == [deny, "IPAddressAllow=localhost 10.0.0.1 10.0.0.53"]
    assert allowed(tmp_path / UNITS[1]) == [deny, "IPAddressAllow=localhost 10.1.0.0/16"]
    assert main(["deploy", "add", "west", "-o", str(tmp_path)]) == 0
    assert allowed(tmp_path / "west" / "clinfed-west.service") == allowed(tmp_path / UNITS[2])


@pytest.mark.parametrize("script", ["coordinator/superlink.sh", "coordinator/run.sh", "north/supernode.sh"])
def test_no_script_but_bases_may_ask_the_hub(written: Path, script: str) -> None:
    text = (written / script).read_text("utf-8").partition("\nexec ")[0]
    folder = (written / script).parent
    probe = folder / "probe.sh"
    probe.write_text(f'{text.replace("flwr-clientapp --ready", "")}\necho "$HF_HUB_OFFLINE $CLINFED_BASES"\n', "utf-8")
    environment = {**os.environ, "CLINFED_VENV": sys.prefix}
    environment.pop("CLINFED_BASES", None)  # the engineer's own choice would hold
    done = subprocess.run(["bash", str(probe)], capture_output=True, text=True, env=environment)
    probe.unlink()
    assert done.stdout.splitlines()[-1] == f"1 {folder}/bases", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another account")
def test_a_services_account_reads_its_folder_and_writes_only_what_it_must(own: Path, tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    for role, files, writable in (
        ("north", ("site.toml", "supernode.sh", "clinfed-north.service", "ca.crt"), ("flower", "state")),
        ("coordinator", ("deployment.json", "run.sh", "server.crt"), ("flower", "state", "sites")),
    ):
        folder = own / role
        subprocess.run([str(folder / "protect.sh"), "nobody"], check=True)
        for file in files:
            found = (folder / file).stat()
            assert (found.st_uid, found.st_gid, found.st_mode & 0o027) == (0, account.pw_gid, 0), file
            assert found.st_mode & 0o040, file
        assert folder.stat().st_mode & 0o777 == 0o750
        for path in folder.rglob("*"):
            may_write = path.relative_to(folder).parts[0] in writable or path.suffix == ".key"
            assert (path.stat().st_uid == account.pw_uid) == may_write, path
    assert stat.S_IMODE((own / "north" / "north.key").stat().st_mode) == 0o600
    assert (own / "authority").stat().st_uid == 0


def test_only_the_gates_port_is_published_by_compose(written: Path) -> None:
    services = yaml.safe_load((written / "coordinator" / "compose.yaml").read_text("utf-8"))["services"]
    assert [service.get("ports") for service in services.values()] == [["8000:8000"], None]
    assert services["gate"]["network_mode"] == "service:superlink"
    assert all(service["restart"] == "always" for service in services.values())


def test_a_site_publishes_no_port_and_cannot_write_its_notes(written: Path) -> None:
    service = yaml.safe_load((written / "north" / "compose.yaml").read_text("utf-8"))["services"]["supernode"]
    assert "ports" not in service
    assert [volume for volume in service["volumes"] if not volume.endswith(":ro")] == [
        "./flower:/site/flower",
        "./state:/site/state",
    ]


@pytest.mark.parametrize("role", ["coordinator", "north"])
def test_a_container_has_no_right_no_dump_and_a_limit(written: Path, role: str) -> None:
    services = yaml.safe_load((written / role / "compose.yaml").read_text("utf-8"))["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["ulimits"]["core"] == 0
        assert service["mem_limit"]


def test_the_authority_of_an_earlier_version_is_found_in_the_coordinators_folder(own: Path) -> None:
    (own / "authority" / "ca.key").rename(own / "coordinator" / "ca.key")
    assert main(["deploy", "renew", "--server", "-o", str(own)]) == 0


def test_without_the_authoritys_key_no_certificate_is_written(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "authority" / "ca.key").unlink()
    assert main(["deploy", "renew", "--server", "-o", str(own)]) == 2
    assert "authority/ca.key: no such file; put the authority's key there" in capsys.readouterr().err


def test_the_superlink_listens_on_loopback_only_with_tls_and_registered_keys_only(written: Path) -> None:
    script = (written / "coordinator" / "superlink.sh").read_text("utf-8")
    assert "--host 127.0.0.1 --port 8001" in script
    assert "--enable-supernode-auth" in script
    assert "--insecure" not in script


def test_every_flag_of_the_scripts_is_one_that_flower_has(written: Path) -> None:
    for command, script in (("superlink", "coordinator/superlink.sh"), ("supernode", "north/supernode.sh")):
        text = (written / script).read_text("utf-8")
        flags = {word.strip() for word in text.partition(f"flower-{command} ")[2].split() if word.startswith("--")}
        module = __import__(f"flwr.{command}.cli.flower_{command}", fromlist=["parse"])
        parser = getattr(module, f"_parse_args_run_{command}")()
        known = {option: action.help for action in parser._actions for option in action.option_strings}
        assert flags
        assert flags <= known.keys()
        assert not [flag for flag in flags if "eprecated" in (known[flag] or "")]


def test_a_sites_settings_are_as_a_site_reads_them(written: Path) -> None:
    settings = sites.read(written / "north" / "site.toml")
    assert settings.name == "north"
    assert settings.allowed_code == (fingerprints.code(),)


def test_every_setting_that_is_offered_is_one_that_a_site_knows(own: Path) -> None:
    path = own / "north" / "site.toml"
    lines = path.read_text("utf-8").splitlines()
    offered = [line.removeprefix("# ") for line in lines if re.match(r"# (\[|.* = )", line)]
    path.write_text("\n".join([*lines, *offered]), "utf-8")
    assert len(offered) == 16
    site = sites.read(path)
    assert (site.rank_cap, site.policy) == (64, Policy())
    assert set(tomllib.loads(path.read_text("utf-8"))) >= {"labels", "device", "small_cell_threshold"}


def test_the_coordinators_settings_register_each_site_by_its_key(written: Path) -> None:
    read = settings.read(written / "coordinator" / "coordinator.toml")
    assert read.limits == settings.Limits()
    keys = {name: written / "coordinator" / "sites" / f"{name}.pub" for name in SITES}
    assert {name: site.key for name, site in read.sites.items()} == keys
    script = (written / "coordinator" / "superlink.sh").read_text("utf-8")
    assert f'export {settings.VARIABLE}="$PWD/coordinator.toml"\nexec flower-superlink' in script


def test_an_existing_folder_is_refused_and_kept(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (own / "authority" / "ca.key").read_bytes()
    capsys.readouterr()
    assert init(own) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"clinfed deploy: {own}: exists already")
    assert "clinfed deploy renew" in error
    assert error.count("\n") == 1
    assert (own / "authority" / "ca.key").read_bytes() == key


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert init(tmp_path) == 0


def test_a_site_that_joins_later_gets_a_folder_like_the_others_and_nobody_elses_changes(
    own: Path, written: Path
) -> None:
    assert main(["deploy", "add", "west", "-o", str(own)]) == 0
    files = {path.relative_to(own) for path in own.rglob("*") if path.is_file()}
    of_west = {str(path).replace("west", "north") for path in files if path.parts[0] == "west"}
    assert of_west == {str(path.relative_to(written)) for path in (written / "north").rglob("*") if path.is_file()}
    before = {path.relative_to(written) for path in written.rglob("*") if path.is_file()}
    changed = {str(path) for path in before if (own / path).read_bytes() != (written / path).read_bytes()}
    assert changed == {"coordinator/deployment.json", "coordinator/coordinator.toml"}
    registered = settings.read(own / "coordinator" / "coordinator.toml").sites
    assert registered["west"].key == own / "coordinator" / "sites" / "west.pub"
    assert [*registered] == [*SITES, "west"]
    assert (own / "west" / "west.pub").read_bytes() == (own / "coordinator" / "sites" / "west.pub").read_bytes()
    assert main(["deploy", "renew", "west", "-o", str(own)]) == 0


def test_renewing_a_site_changes_its_keys_alone(own: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["deploy", "renew", "north", "-o", str(own)]) == 0
    replaced = own / "coordinator" / "sites" / f"north{REPLACED}"  # its old key, which the gate still knows
    assert replaced.read_bytes() == (written / "north" / "north.pub").read_bytes()
    files = {path.relative_to(own) for path in own.rglob("*") if path.is_file() and path != replaced}
    changed = {str(path) for path in files if (own / path).read_bytes() != (written / path).read_bytes()}
    assert changed == {"north/north.key", "north/north.pub", "coordinator/sites/north.pub"}
    assert stat.S_IMODE((own / "north" / "north.key").stat().st_mode) == 0o600
    said = capsys.readouterr().out
    assert said.index("./unregister.sh north") < said.index("./register.sh north") < said.index("restart clinfed-north")


def test_renewing_a_site_whose_folder_has_left_makes_its_keys_again(own: Path) -> None:
    shutil.rmtree(own / "north")
    assert main(["deploy", "renew", "north", "-o", str(own)]) == 0
    assert (own / "north" / "north.pub").read_bytes() == (own / "coordinator" / "sites" / "north.pub").read_bytes()


def test_renewing_the_server_changes_its_certificate_and_not_what_sites_trust(own: Path, written: Path) -> None:
    assert main(["deploy", "renew", "--server", "-o", str(own)]) == 0
    files = {path.relative_to(own) for path in own.rglob("*") if path.is_file()}
    changed = {str(path) for path in files if (own / path).read_bytes() != (written / path).read_bytes()}
    assert changed == {"coordinator/server.key", "coordinator/server.crt"}
    chain = ["openssl", "verify", "-x509_strict", "-verify_hostname", "coordinator.example.org"]
    trusted = ["-CAfile", str(own / "north" / "ca.crt"), str(own / "coordinator" / "server.crt")]
    assert "OK" in subprocess.run([*chain, *trusted], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "north", "-o", "FOLDER"], "name each site once"),
        (["add", "../west", "-o", "FOLDER"], "cannot name a site"),
        (["renew", "west", "-o", "FOLDER"], "'west' is not a site of"),
        (
            ["renew", "--server", "-o", "FOLDER/nowhere"],
            "no such file; give the folder that `clinfed deploy init` wrote",
        ),
        (["gate", "FOLDER/nowhere"], "no such file"),
    ],
)
def test_a_mistake_is_one_line(own: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", *(each.replace("FOLDER", str(own)) for each in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_app_is_written_as_it_is_installed(tmp_path: Path) -> None:
    assert main(["deploy", "app", str(tmp_path / "app")]) == 0
    assert fingerprints.hash_packages(tmp_path / "app" for _ in fingerprints.PACKAGES) == fingerprints.code()


def test_the_app_is_not_written_where_something_else_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.txt").write_text("kept", "utf-8")
    assert main(["deploy", "app", str(tmp_path)]) == 2
    assert f"{tmp_path}: exists already and is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_firewall_rule_closes_the_port_of_the_sites_own_supernode(written: Path) -> None:
    for site in SITES:
        [port] = re.findall(r"CLINFED_NODE_PORT:-(\d+)", (written / site / "supernode.sh").read_text("utf-8"))
        rule = (written / site / "loopback.nft").read_text("utf-8")
        assert f"tcp dport {port} meta skuid != {{ 0, clinfed }} reject" in rule
        unit = (written / site / f"clinfed-{site}.service").read_text("utf-8")
        assert f"ExecStartPre=-+/usr/sbin/nft -f {written / site}/loopback.nft" in unit
