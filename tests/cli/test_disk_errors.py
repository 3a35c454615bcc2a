"""A full disk, a path through a file and a home that cannot be made: one line and exit code 2, no traceback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clinfed.cli import main

RunOf = Callable[[str], Path]
NOTES = [{"id": "a", "text": "asma leve", "spans": [{"start": 0, "end": 4, "code": "J45"}], "patient": "p"}]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in NOTES))
    return tmp_path / "notes.jsonl"


def line_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(each) for each in arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("buffering", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_full_standard_output_is_one_line(buffering: list[str], notes: Path) -> None:
    command = [sys.executable, *buffering, "-m", "clinfed.cli", "score", "--gold", str(notes), "--pred", str(notes)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("clinfed score: standard output")
    assert "no space is left" in line


def test_predictions_below_a_file_are_one_line(run_of: RunOf, notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--adapter", run_of("jerl"), "--notes", notes, "--out", notes / "found.jsonl")
    assert f"{notes}: there already, and not a folder" in line_of(capsys, "predict", *where)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_adapter_on_a_full_disk_is_one_line(
    run_of: RunOf, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinfed.adapters.folder.CARD", "../full")
    (tmp_path / "full").symlink_to("/dev/full")
    line = line_of(capsys, "publish", run_of("jerl"), "-o", tmp_path / "public")
    assert line.startswith(f"clinfed publish: {tmp_path / 'public'}: no space is left on its disk")


@pytest.mark.parametrize("command", ["train", "simulate", "compare", "sweep", "classify"])
def test_a_home_that_cannot_be_made_is_one_line(
    command: str, notes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(notes / "home"))
    line = line_of(capsys, command, "rounds=1")
    assert line.startswith(f"clinfed {command}: CLINFED_HOME={notes / 'home'}: cannot be made (")


@pytest.mark.parametrize("command", ["train", "simulate", "compare", "sweep", "classify"])
def test_an_output_folder_below_a_file_is_one_line(
    command: str, notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if command in ("compare",):
        pytest.skip("a comparison sets output itself")
    line = line_of(capsys, command, "rounds=1", f"output={notes / 'runs'}")
    assert "a part of this path is a file, not a folder" in line


@pytest.mark.parametrize("command", ["train", "simulate", "compare", "sweep", "classify"])
def test_a_gpu_that_is_not_there_is_refused_before_anything_starts(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = line_of(capsys, command, "training.device=cuda")
    assert line.startswith(f"clinfed {command}: training.device cuda: PyTorch sees no GPU")
