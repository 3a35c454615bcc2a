"""What `clinfed deploy init` and `renew` write: who gets which file, and whether each can be used."""

import configparser
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from clinfed import fingerprints
from clinfed.cli import main
from clinfed.clinic import site as sites
from clinfed.clinic.policy import Policy

SITES = ("north", "south", "coast")
UNITS = ("coordinator/clinfed-superlink.service", "coordinator/clinfed-gate.service", "north/clinfed-north.service")
SCRIPTS = ("superlink", "gate", "flwr", "register", "unregister", "run")


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
    assert private_keys(written) == {"coordinator/ca.key", "coordinator/server.key", *owned}


def test_private_files_and_folders_are_for_their_account_only(written: Path) -> None:
    for name in private_keys(written):
        assert stat.S_IMODE((written / name).stat().st_mode) == 0o600, name
    for folder in ("", "coordinator", *SITES, "north/state", "coordinator/state"):
        assert stat.S_IMODE((written / folder).stat().st_mode) == 0o700, folder


def test_no_two_keys_are_equal(written: Path) -> None:
    contents = [(written / name).read_bytes() for name in private_keys(written)]
    assert len(set(contents)) == len(contents) == 5


def test_the_coordinator_has_the_public_key_of_each_site_and_each_site_its_authority(written: Path) -> None:
    for site in SITES:
        public = (written / "coordinator" / "sites" / f"{site}.pub").read_bytes()
        assert public == (written / site / f"{site}.pub").read_bytes()
        assert (written / site / "ca.crt").read_bytes() == (written / "coordinator" / "ca.crt").read_bytes()


def test_scripts_can_be_started_and_are_bash(written: Path) -> None:
    scripts = sorted(written.rglob("*.sh"))
    assert len(scripts) == len(SCRIPTS) + 2 * len(SITES), "supernode.sh and check.sh at each site"
    for script in scripts:
        assert script.stat().st_mode & stat.S_IXUSR
        subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_its_own_script_and_again_whenever_it_ends(written: Path, name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((written / name).read_text("utf-8"))
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


def test_only_the_gates_port_is_published_by_compose(written: Path) -> None:
    services = yaml.safe_load((written / "coordinator" / "compose.yaml").read_text("utf-8"))["services"]
    assert [service.get("ports") for service in services.values()] == [["8000:8000"], None]
    assert services["gate"]["network_mode"] == "service:superlink"
    assert all(service["restart"] == "always" for service in services.values())


def test_a_site_publishes_no_port_and_cannot_write_its_notes(written: Path) -> None:
    service = yaml.safe_load((written / "north" / "compose.yaml").read_text("utf-8"))["services"]["supernode"]
    assert "ports" not in service
    assert service["volumes"][1].endswith(":ro")


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
    assert len(offered) == 15
    site = sites.read(path)
    assert (site.rank_cap, site.policy) == (64, Policy())
    assert set(tomllib.loads(path.read_text("utf-8"))) >= {"labels", "device", "small_cell_threshold"}


def test_an_existing_folder_is_refused_and_kept(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (own / "coordinator" / "ca.key").read_bytes()
    capsys.readouterr()
    assert init(own) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"clinfed deploy: {own}: exists already")
    assert "clinfed deploy renew" in error
    assert error.count("\n") == 1
    assert (own / "coordinator" / "ca.key").read_bytes() == key


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
    assert changed == {"coordinator/deployment.json"}
    assert (own / "west" / "west.pub").read_bytes() == (own / "coordinator" / "sites" / "west.pub").read_bytes()
    assert main(["deploy", "renew", "west", "-o", str(own)]) == 0


def test_renewing_a_site_changes_its_keys_alone(own: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["deploy", "renew", "north", "-o", str(own)]) == 0
    files = {path.relative_to(own) for path in own.rglob("*") if path.is_file()}
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
