"""What the Flower bundle may hold: it goes to the SuperLink and to every clinic, so nothing may slip in."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from clinfed.experiments.launch import stage
from clinfed.fingerprints import BUNDLED, PACKAGES, bundled_files, hash_packages

ROOT = Path(__file__).parents[1]
CANARY = "canarytext"
NOTES = ("notes.jsonl", "train.json", "note.txt", "note.ann", "notes.md", "notes.yml", "notes.toml", "notes.tsv")
DATA_FOLDERS = {
    "clinfed/corpus/synthetic",
    "configs",
    "configs/base",
    "configs/experiment",
    "configs/sweep",
    "configs/training",
}
FLOWER_LIMIT_BYTES = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked bundle of a checkout in whose folders notes lie about."""
    folder = tmp_path_factory.mktemp("fab")
    checkout = stage(folder / "checkout")
    shutil.copyfile(ROOT / ".gitignore", checkout / ".gitignore")
    for place in ("", "data", "clinfed", "clinfed/corpus", "server", "client", "configs", "configs/base", "tests"):
        (checkout / place).mkdir(exist_ok=True)
        for name in NOTES:
            (checkout / place / name).write_text(f'{{"text": "{CANARY}"}}', "utf-8")
    environment = {**os.environ, "FLWR_HOME": str(folder / "flwr"), "FLWR_TELEMETRY_ENABLED": "0"}
    flwr = Path(sys.executable).parent / "flwr"
    command = [str(flwr), "build", "--app", str(checkout)]
    subprocess.run(command, cwd=folder, env=environment | {"FLWR_DISABLE_UPDATE_CHECK": "1"}, check=True)
    [fab] = folder.glob("*.fab")
    with zipfile.ZipFile(fab) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_bundle_holds_the_code_and_nothing_else(bundle: Path) -> None:
    code = {path.as_posix() for package in PACKAGES for path in bundled_files(ROOT, package)}
    assert files(bundle) - code == {"pyproject.toml", "LICENSE", "README.md", ".info/CONTENT"}
    assert code <= files(bundle)


def test_every_module_of_the_packages_is_packed_and_in_the_fingerprint(bundle: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for package in ("clinfed", "client", "configs", "partitions", "server", "strategies")
        for path in (ROOT / package).rglob("*.py")
    }
    assert here - files(bundle) == set()
    assert here - {path.as_posix() for package in PACKAGES for path in bundled_files(ROOT, package)} == set()


def test_data_files_of_the_bundle_are_a_short_known_list(bundle: Path) -> None:
    # Whoever adds one looks at it first: no note may be in it.
    data = {name for name in files(bundle) if not name.endswith(".py")}
    folders = {str(Path(name).parent) for name in data}
    assert folders == DATA_FOLDERS | {".", ".info"}


def test_notes_that_lie_about_are_not_packed(bundle: Path) -> None:
    assert not [path for path in bundle.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_the_bundled_copy_has_the_code_fingerprint_of_the_installed_one(bundle: Path) -> None:
    assert hash_packages(bundle for _ in PACKAGES) == hash_packages(ROOT for _ in PACKAGES)


def test_the_fingerprint_covers_exactly_what_is_packed() -> None:
    app = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]
    assert tuple(app["fab-include"]) == (*BUNDLED, "/LICENSE", "/README.md")


def test_another_byte_gives_another_fingerprint(tmp_path: Path) -> None:
    copy = stage(tmp_path / "copy")
    before = hash_packages(copy for _ in PACKAGES)
    (copy / "server" / "app.py").write_text((copy / "server" / "app.py").read_text("utf-8") + "\n", "utf-8")
    assert hash_packages(copy for _ in PACKAGES) != before


def test_the_bundle_is_small_enough_for_flower(bundle: Path) -> None:
    assert sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) < FLOWER_LIMIT_BYTES
