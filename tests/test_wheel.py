"""The wheel: what `pip install clinfed` gives works from any folder, without the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the unpacked wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)], check=True)
    [wheel] = folder.glob("clinfed-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def clinfed(installed: Path, folder: Path, *arguments: str) -> str:
    """Return what the wheel's clinfed prints in a folder far from the checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed), "CLINFED_HOME": str(folder / "home")}
    command = [sys.executable, "-P", "-m", "clinfed.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_module_and_no_test(installed: Path) -> None:
    packages = ("clinfed", "client", "configs", "partitions", "server", "strategies")
    here = {path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")}
    there = {path.relative_to(installed) for name in packages for path in (installed / name).rglob("*.py")}
    assert there == here
    assert not (installed / "tests").exists()


@pytest.mark.soak
def test_the_wheel_trains_and_predicts_far_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    small = ("corpus.patients=12", "rounds=1", "training.window=64", "training.stride=8")
    done = json.loads(clinfed(installed, tmp_path, "train", "--json", *small))
    folder = Path(done["record"]).parent
    (tmp_path / "note.txt").write_text("Pacient amb HTA.\n", "utf-8")
    clinfed(installed, tmp_path, "predict", "--adapter", str(folder), "--notes", "note.txt", "--out", "found.jsonl")
    assert (tmp_path / "found.jsonl").read_text("utf-8").count("\n") == 1


def test_the_wheel_makes_the_app_that_flower_runs(installed: Path, tmp_path: Path) -> None:
    clinfed(installed, tmp_path, "deploy", "app", "app")
    assert (tmp_path / "app" / "server" / "app.py").is_file()
    assert (tmp_path / "app" / "pyproject.toml").is_file()
