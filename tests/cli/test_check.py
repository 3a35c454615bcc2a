"""`clinfed check`: one table of all that a site needs, an exit code, and JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from clinfed import fingerprints
from clinfed.cli import main
from clinfed.experiments.launch import free_ports


def site_toml(
    folder: Path, world: Any, policy: Sequence[str] = ("least_notes = 5", "least_patients = 5"), **changes: Any
) -> str:
    """Write a site's settings; return their path."""
    paths = {"notes": str(world.site_notes("ca")), "labels": str(world.labels)}
    settings = {"name": "north", **paths, "device": "cpu", "allowed_code": [fingerprints.code()]} | changes
    path = folder / "site.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path.write_text("\n".join([*lines, "[policy]", *policy]) + "\n", "utf-8")
    path.chmod(0o640)
    return str(path)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the findings by check, of the command with --json."""
    code = main(["check", *arguments, "--json"])
    printed = capsys.readouterr()
    assert not [word for word in ("canarytext", "CANARYLABEL", "canarypatient") if word in printed.out + printed.err]
    return code, json.loads(printed.out) | {each["check"]: each for each in json.loads(printed.out)["findings"]}


def test_a_site_that_is_ready(world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = f"--port={free_ports(1)[0]}"
    code, found = checked(capsys, "--settings", site_toml(tmp_path, world), port, *world.site_overrides)
    assert (code, found["ready"]) == (0, True), found["findings"]
    expected = (
        "python packages settings code gpu 4-bit base disk port labels notes patients languages policy codes spans"
    )
    assert [each["check"] for each in found["findings"]] == expected.split()


def test_the_policy_and_whether_the_notes_pass_its_floors(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = checked(capsys, "--settings", site_toml(tmp_path, world, ()), *world.site_overrides)
    assert (code, found["policy"]["level"]) == (1, "fail")
    assert found["policy"]["found"] == "least_patients: 9 patients, the policy asks for 10"
    code, found = checked(capsys, "--settings", site_toml(tmp_path, world), *world.site_overrides)
    assert (code, found["policy"]["level"]) == (0, "ok")
    assert "least_notes 5, least_patients 5, least_steps 5, small_cell_threshold 5," in found["policy"]["found"]
    assert "; 4 of 4 codes are of 5 patients or more" in found["policy"]["found"]
    path = site_toml(tmp_path, world, ("least_patients = 5", "small_cell_threshold = 99"))
    _, found = checked(capsys, "--settings", path, *world.site_overrides)
    assert (found["policy"]["level"], found["policy"]["remedy"][:29]) == ("warn", "only where diagnoses stand is")


def test_each_lack_is_a_row_and_the_others_are_still_looked_at(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_toml(tmp_path, world, allowed_code=[], notes=str(tmp_path / "absent.jsonl"))
    code, found = checked(capsys, "--settings", path, "base=local", "base.name=absent", "corpus=jsonl")
    assert code == 1
    assert {each["check"] for each in found["findings"] if each["level"] == "fail"} == {"code", "base", "notes"}
    assert f'allowed_code = ["{fingerprints.code()}"]' in found["code"]["remedy"]
    assert "no config.json in" in found["base"]["found"]
    assert "no such file or folder" in found["notes"]["found"]


def test_what_the_run_would_ask_beyond_the_settings(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = checked(capsys, "--settings", site_toml(tmp_path, world, rank_cap=2), *world.site_overrides)
    assert code == 1
    assert "rank_cap: the run asks for adapter.r=4, the cap is 2" in found["code"]["found"]


def test_settings_that_are_wrong_do_not_hide_the_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.toml").write_text('rank_cup = 8\nnotes = "/notes"\n')
    code, found = checked(capsys, "--settings", str(tmp_path / "site.toml"))
    assert code == 1
    assert (found["settings"]["level"], found["settings"]["remedy"]) == ("fail", "did you mean rank_cap?")
    assert found["packages"]["level"] == "ok"
    assert "notes" not in found


def test_a_list_of_codes_that_is_missing_says_which_setting(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = checked(capsys, "--settings", site_toml(tmp_path, world, labels=""), "corpus=jsonl")
    assert found["labels"]["level"] == "fail"
    assert "labels = " in found["labels"]["remedy"]


def test_the_table_is_for_people(world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--settings", site_toml(tmp_path, world, allowed_code=[]), *world.site_overrides]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAIL  code          ") for line in lines)
    assert any(line.strip().startswith("-> ") for line in lines)
    assert lines[-1].endswith("1 fail: not ready")


def key_file(path: Path, key: Any, mode: int = 0o600) -> Path:
    """Write a private key in OpenSSH's form."""
    form = serialization.PrivateFormat.OpenSSH
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    path.chmod(mode)
    return path


@pytest.fixture
def nowhere(tmp_path: Path) -> list[str]:
    """Return the arguments that name a coordinator where nobody listens."""
    (tmp_path / "ca.crt").write_text("no certificate")
    return ["--superlink", f"127.0.0.1:{free_ports(1)[0]}", "--root-certificates", str(tmp_path / "ca.crt")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no key", "cannot be read (ValueError), expected an elliptic private key"),
        (ed25519.Ed25519PrivateKey.generate(), "another kind of key, expected an elliptic"),
    ],
)
def test_a_key_that_flower_does_not_take(
    content: Any, words: str, tmp_path: Path, nowhere: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site.key"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        key_file(path, content)
    code, found = checked(capsys, *nowhere, "--key", str(path))
    assert code == 1
    assert found["key"]["level"] == "fail"
    assert words in found["key"]["found"]


def test_a_key_that_others_may_read(tmp_path: Path, nowhere: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = key_file(tmp_path / "site.key", ec.generate_private_key(ec.SECP384R1()), 0o644)
    _, found = checked(capsys, *nowhere, "--key", str(path))
    rows = [(each["level"], each["remedy"]) for each in found["findings"] if each["check"] == "key"]
    assert rows == [("fail", f"chmod 600 {path}"), ("warn", "correct the rows above")]


def test_a_superlink_needs_its_authority(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--superlink", "host:8000"]) == 2
    assert "--superlink needs --root-certificates" in capsys.readouterr().err


def test_the_sites_threshold_is_looked_at_beside_its_notes(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = world.site_notes("ca").read_text("utf-8").splitlines()
    notes = [{key: value for key, value in json.loads(line).items() if key != "patient"} for line in lines]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(f"{json.dumps(note)}\n" for note in notes), "utf-8")
    for threshold, level in ((0, "ok"), (10, "warn")):
        settings = site_toml(tmp_path, world, (f"small_cell_threshold = {threshold}",), notes=str(path))
        _, found = checked(capsys, "--settings", settings, *world.site_overrides)
        assert found["patients"]["level"] == level
