"""What a machine offers: seen as it is, and each lack with what to do."""

import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from clinfed.checks import machine
from clinfed.checks.finding import Finding, table
from clinfed.refusals import RefusedError
from clinfed.training.device import refuse_absent


def test_this_environment_has_what_clinfed_asks_for() -> None:
    assert {each.level for each in machine.python_and_packages()} == {"ok"}


def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"peft": "0.3.0", "torch": ""}

    def version(name: str) -> str:
        return versions[name] if name in versions else metadata.version(name)

    monkeypatch.setattr(machine, "_version", version)
    row = machine.python_and_packages()[-1]
    assert row.level == "fail"
    assert row.found == "peft is 0.3.0, expected >=0.21; torch is missing, expected >=2.10"
    assert "pip install" in row.remedy


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    row = machine.gpu("cuda")
    assert row.level == "fail"
    assert "PyTorch sees no GPU" in row.found
    assert "choose device cpu" in row.remedy
    assert machine.gpu("cpu").level == "ok"


def test_training_on_a_gpu_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RefusedError, match=r"PyTorch sees no GPU.*choose device cpu") as caught:
        refuse_absent("cuda:0")
    assert caught.value.setting == "device"  # all that a coordinator is told of it
    refuse_absent("cpu")


def test_four_bit_layers_are_really_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.four_bit("", needed=True).level == "ok"

    def broken(device: str) -> bool:
        raise ImportError("libcudart.so")

    monkeypatch.setattr(machine, "_computes_in_four_bits", broken)
    assert [machine.four_bit("", needed=needed).level for needed in (True, False)] == ["fail", "warn"]
    assert "ImportError" in machine.four_bit("", needed=True).found


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        used = server.getsockname()[1]
        row = machine.port(used)
    assert row.level == "warn"
    assert f"--port {used + 1}" in row.remedy
    assert machine.port(used).level == "ok"


def test_a_disk_that_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.jsonl").write_bytes(b"x" * 1000)

    class Usage:
        free = 20 * 1000 + 1_000_000_000

    def usage(folder: Any) -> type[Usage]:
        return Usage

    monkeypatch.setattr(machine.shutil, "disk_usage", usage)
    assert machine.disk(tmp_path, tmp_path / "notes.jsonl").level == "ok"
    assert machine.disk(tmp_path, tmp_path).level == "ok"
    Usage.free -= 1
    assert machine.disk(tmp_path, tmp_path).level == "fail"


def test_the_table_puts_what_to_do_below_what_was_found() -> None:
    rows = [Finding("disk", "ok", "72 GB free"), Finding("tls", "fail", "wrong authority", "copy ca.crt again")]
    assert table(rows, 60).splitlines() == [
        "ok    disk          72 GB free",
        "FAIL  tls           wrong authority",
        "                    -> copy ca.crt again",
    ]
