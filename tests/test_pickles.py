"""A pickle in place of every file that is ever loaded: it is refused or unreadable, and its code never runs."""

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.adapters.folder import load_labels, load_state
from clinfed.adapters.state import AdapterState
from clinfed.bases import Base, load_encoder, load_tokenizer
from clinfed.corpus.labels import load as read_labels
from clinfed.corpus.note import Note
from clinfed.corpus.readers import brat, codiesp, conll, jsonl
from clinfed.errors import UserError
from clinfed.runs import record as records
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training.encoded import encode_notes


class Payload:
    """What runs where it is unpickled: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def bomb(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def test_the_pickle_does_run_where_it_is_opened(bomb: bytes, marker: Path) -> None:
    pickle.loads(bomb)
    assert marker.is_dir()


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def opened(load: Callable[[], object], marker: Path) -> Exception | None:
    """Return what loading raised; the pickle must not have run."""
    error = None
    try:
        load()
    except Exception as raised:
        error = raised
    assert not marker.exists()
    return error


ADAPTER_FILES = (
    "adapter_model.safetensors",
    "model.safetensors",
    "head.safetensors",
    "labels.json",
    "adapter_config.json",
)


@pytest.mark.parametrize(
    "name", [*ADAPTER_FILES, "adapter_model.bin", "pytorch_model.bin", "head.pt", "x.pkl", "x.npz"]
)
def test_no_file_of_an_adapter_folder_runs(tmp_path: Path, bomb: bytes, marker: Path, name: str) -> None:
    from safetensors.numpy import save_file

    folder = tmp_path / "adapter"
    folder.mkdir()
    for part in ("adapter_model.safetensors", "head.safetensors"):
        save_file({"weight": np.zeros(2, np.float32)}, folder / part)
    (folder / "labels.json").write_text('{"task": "jerl", "codes": []}', "utf-8")
    plant(folder, {name: bomb})
    errors = [opened(lambda: load_state(folder), marker), opened(lambda: load_labels(folder), marker)]
    loaded = name in ("model.safetensors", "adapter_config.json")  # is not opened beside the others
    assert loaded or any(isinstance(error, UserError) for error in errors)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_args.bin",
    ],
)
def test_no_file_of_a_base_runs(world: Any, tmp_path: Path, bomb: bytes, marker: Path, name: str) -> None:
    files = {path.name: path.read_bytes() for path in (world.folder / "base").iterdir()}
    if name == "pytorch_model.bin":  # as the only weights, it would be what transformers takes
        del files["model.safetensors"]
    folder = plant(tmp_path / "base", {**files, name: bomb})
    base = Base(name="path", path=str(folder))
    errors = [opened(lambda: load_encoder(base), marker), opened(lambda: load_tokenizer(base), marker)]
    assert name == "training_args.bin" or any(errors)


def test_no_file_of_a_clinics_cache_runs(world: Any, tmp_path: Path, bomb: bytes, marker: Path) -> None:
    tokenizer = load_tokenizer(Base(name="path", path=str(world.folder / "base")))
    notes, cache = [Note("a", "Té asma.")], tmp_path / "c"

    def encode() -> Any:
        return encode_notes(Jerl(), notes, tokenizer, ["J45.909"], window=16, stride=2, cache=cache).rows

    encode()
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) >= 5
    for file in files:
        healthy = file.read_bytes()
        file.write_bytes(bomb)
        opened(encode, marker)
        file.write_bytes(healthy)


def test_no_file_of_a_checkpoint_runs(world: Any, tmp_path: Path, bomb: bytes, marker: Path) -> None:
    from clinfed.runs import checkpoints

    folder = plant(tmp_path / "state", {f"round-0001/{name}": bomb for name in CHECKPOINT})
    assert isinstance(opened(lambda: checkpoints.load(folder), marker), Exception)


CHECKPOINT = ("state.json", "adapter.safetensors", "memory-first_moment.safetensors", "best.safetensors")
READERS = {"a.jsonl": jsonl.read, "a.conll": conll.read, "a.ann": brat.read, "trainX.tsv": codiesp.read}


@pytest.mark.parametrize("name", READERS)
def test_no_file_of_notes_runs(tmp_path: Path, bomb: bytes, marker: Path, name: str) -> None:
    folder = plant(tmp_path / "notes", {name: bomb, "a.txt": bomb, "text_files/a.txt": bomb})
    assert isinstance(opened(lambda: list(READERS[name](folder)), marker), UserError)
    with suppress(UserError):
        opened(lambda: list(READERS[name](folder, skip_bad=True)), marker)


@pytest.mark.parametrize("load", [records.read, records.read_counts, read_labels], ids=["record", "counts", "labels"])
def test_no_json_file_runs(tmp_path: Path, bomb: bytes, marker: Path, load: Callable[[Path], object]) -> None:
    (tmp_path / "file.json").write_bytes(bomb)
    assert isinstance(opened(lambda: load(tmp_path / "file.json"), marker), UserError)


def test_an_adapter_folder_whose_bytes_are_broken_is_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for part in ("adapter_model.safetensors", "head.safetensors"):
        save_file({"weight": np.arange(4, dtype=np.float32)}, tmp_path / part)
    assert isinstance(load_state(tmp_path), AdapterState)
    good = (tmp_path / "head.safetensors").read_bytes()
    for place in range(0, 60):
        broken = bytearray(good)
        broken[place] ^= 0xFF
        (tmp_path / "head.safetensors").write_bytes(bytes(broken))
        try:
            load_state(tmp_path)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
    (tmp_path / "head.safetensors").write_bytes(good[:-1])
    with pytest.raises(UserError, match=r"head\.safetensors"):
        load_state(tmp_path)
