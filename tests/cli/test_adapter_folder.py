"""An adapter is checked against itself before it is used: by its settings, its audit file, its run's record."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.experiments.adapted import open_adapter

RunOf = Callable[[str], Path]


@pytest.fixture
def run(run_of: RunOf, tmp_path: Path) -> Path:
    """Return a copy of a run's folder."""
    return Path(shutil.copytree(run_of("jerl"), tmp_path / "run"))


@pytest.fixture
def copied(run_of: RunOf, tmp_path: Path) -> Path:
    """Return a copy of a run's adapter alone."""
    return Path(shutil.copytree(run_of("jerl") / "adapter", tmp_path / "alone"))


@pytest.fixture
def base(world: Any) -> str:
    return str(world.folder / "base")


def refused(path: Path, base: str) -> str:
    with pytest.raises(UserError) as error:
        open_adapter(path, base_path=base)
    assert "\n" not in str(error.value)
    return str(error.value)


def as_of_version_0_1(folder: Path) -> None:
    """Take the hashes out of the folder's settings."""
    settings = json.loads((folder / "clinfed.json").read_text())
    del settings["files"]
    (folder / "clinfed.json").write_text(json.dumps(settings))


def change(path: Path, value: float) -> None:
    """Set one number of the file's last tensor."""
    tensors = load_file(path)
    name = max(tensors)
    tensors[name] = np.array(tensors[name])
    tensors[name].flat[-1] = value
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["head.safetensors", "adapter_model.safetensors"])
def test_weights_that_are_not_finite_are_refused_even_without_hashes(
    name: str, value: float, copied: Path, base: str
) -> None:
    as_of_version_0_1(copied)
    change(copied / name, value)
    error = refused(copied, base)
    assert error.startswith(str(copied / name))
    assert "not finite" in error


@pytest.mark.parametrize("name", ["head.safetensors", "adapter_model.safetensors"])
def test_a_folder_copied_away_alone_knows_its_weights(name: str, copied: Path, base: str) -> None:
    change(copied / name, 0.25)
    error = refused(copied, base)
    assert error.startswith(f"{copied / name}: SHA-256 ")
    assert "but clinfed.json says" in error


@pytest.mark.parametrize("name", ["labels.json", "adapter_config.json"])
def test_a_folder_copied_away_alone_knows_its_labels_and_configuration(name: str, copied: Path, base: str) -> None:
    (copied / name).write_text((copied / name).read_text() + "\n")
    assert refused(copied, base).startswith(f"{copied / name}: SHA-256 ")


def test_a_file_that_the_settings_list_may_not_be_missing(copied: Path, base: str) -> None:
    (copied / "adapter_config.json").unlink()
    assert "adapter_config.json: missing, but clinfed.json lists it" in refused(copied, base)


def test_a_folder_without_hashes_still_loads(copied: Path, base: str) -> None:
    as_of_version_0_1(copied)
    assert open_adapter(copied, base_path=base).codes


@pytest.mark.parametrize("name", ["clinfed.json", "load.py"])
def test_a_published_folder_is_checked_by_its_audit_file(name: str, run: Path, tmp_path: Path, base: str) -> None:
    folder = tmp_path / "public"
    assert main(["publish", str(run), "-o", str(folder)]) == 0
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert "but audit.json says" in refused(folder, base)


def test_the_card_of_a_published_folder_may_be_amended(run: Path, tmp_path: Path, base: str) -> None:
    folder = tmp_path / "public"
    assert main(["publish", str(run), "-o", str(folder)]) == 0
    (folder / "README.md").write_text("more\n")
    assert open_adapter(folder, base_path=base).codes


def test_a_changed_run_is_not_published(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run / "adapter" / "head.safetensors", 0.25)
    assert main(["publish", str(run), "-o", str(tmp_path / "public")]) == 2
    assert "head.safetensors: SHA-256 " in capsys.readouterr().err
    assert not (tmp_path / "public").exists()


def test_another_runs_adapter_beside_a_record_is_refused(run: Path, base: str) -> None:
    as_of_version_0_1(run / "adapter")
    change(run / "adapter" / "head.safetensors", 0.25)
    assert "but the record beside it is of" in refused(run, base)


def test_an_audit_file_that_is_none_is_refused(copied: Path, base: str) -> None:
    (copied / "audit.json").write_text("[]")
    assert "audit.json: cannot be read (AttributeError)" in refused(copied, base)


def test_what_does_not_fit_together_is_refused_without_hashes(copied: Path, base: str) -> None:
    as_of_version_0_1(copied)
    labels, settings = copied / "labels.json", copied / "clinfed.json"
    whole = labels.read_text()
    labels.write_text(whole.replace("E11.9", "E11.8"))
    assert "trained with labels" in refused(copied, base)
    labels.write_text(whole.replace('"jerl"', '"jerl_factored"'))
    assert "of task jerl_factored, the settings are of task jerl" in refused(copied, base)
    labels.write_text(whole)
    settings.write_text(settings.read_text().replace('"r": 4', '"r": 8'))
    with pytest.raises(UserError, match="has shape"):
        open_adapter(copied, base_path=base).tagger()
    (copied / "head.safetensors").write_bytes(b"no tensors")
    assert "expected a whole safetensors file" in refused(copied, base)
