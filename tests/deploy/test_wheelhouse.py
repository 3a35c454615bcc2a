"""An installation without a network, by pip itself, from small wheels that `clinfed deploy wheelhouse` gathers."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clinfed.cli import main
from clinfed.deploy.wheelhouse import sha256

ROOT = Path(__file__).parents[2]


def wheel(folder: Path, name: str, *needs: str, value: int = 1) -> Path:
    """Write a wheel whose module of the same name holds a value; return it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    required = "".join(f"Requires-Dist: {each}\n" for each in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"value = {value}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{required}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let pip see the wheels of one folder, and nothing else; return the folder."""
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def make(tmp_path: Path, lock: str, own: Path) -> int:
    """Run the command with a lock and clinfed's own wheel."""
    (tmp_path / "lock.txt").write_text(lock, "utf-8")
    given = ["--lock", str(tmp_path / "lock.txt"), "--wheel", str(own)]
    return main(["deploy", "wheelhouse", str(tmp_path / "wheels"), *given])


def install(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Install as the command says, where this machine allows it with no network device at all."""
    wheels = tmp_path / "wheels"
    options = ["--no-index", "--find-links", str(wheels), "--require-hashes", "-r", str(wheels / "requirements.txt")]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(tmp_path / "installed")]
    apart = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    if apart and subprocess.run([*apart, "true"], capture_output=True).returncode:
        apart = []
    return subprocess.run([*apart, *command], capture_output=True, text=True)


def test_a_site_installs_without_a_network(offline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needed, own = wheel(offline, "needed"), wheel(tmp_path / "own", "clinfed", "needed>=1")
    wheel(offline, "unasked")
    assert make(tmp_path, f"needed==1.0 \\\n    --hash=sha256:{sha256(needed)}\n", own) == 0
    assert "2 wheels" in capsys.readouterr().out
    shutil.rmtree(offline)
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "wheels", capture_output=True)
    assert checked.returncode == 0
    done = install(tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "installed").glob("*.py")} == {"needed", "clinfed"}


def test_a_wheel_that_was_changed_on_the_way_is_not_installed(offline: Path, tmp_path: Path) -> None:
    needed, own = wheel(offline, "needed"), wheel(tmp_path / "own", "clinfed", "needed>=1")
    assert make(tmp_path, f"needed==1.0 --hash=sha256:{sha256(needed)}\n", own) == 0
    shutil.rmtree(offline)
    wheel(tmp_path / "wheels", "needed", value=2)
    done = install(tmp_path)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (f"needed==1.0 --hash=sha256:{'0' * 64}\n", "pip wheel failed"),
        (f"absent==1.0 --hash=sha256:{'0' * 64}\n", "pip wheel failed"),
        ("needed==1.0\n", "pip wheel failed"),  # without a hash
    ],
)
def test_what_the_lock_does_not_vouch_for_is_refused(
    offline: Path, tmp_path: Path, lock: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(offline, "needed")
    assert make(tmp_path, lock, wheel(tmp_path / "own", "clinfed")) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_outside_of_a_checkout_it_asks_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "wheelhouse", str(tmp_path / "wheels"), "--source", str(tmp_path)]) == 2
    assert "give a checkout of clinfed with --source" in capsys.readouterr().err
