"""Completion scripts, run by the shell that they are for."""

import shutil
import subprocess
from pathlib import Path

import pytest

from clinfed.cli import main


def completed(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return what bash offers behind these words, the last of which is being typed."""
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "clinfed.bash"
    script.write_text(capsys.readouterr().out, "utf-8")
    typed = " ".join(f"'{word}'" for word in words)
    lines = f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _shtab_clinfed"
    command = ["bash", "-c", f'{lines}; printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed(tmp_path, capsys, "clinfed", "sco") == ["score"]


def test_bash_completes_the_keys_of_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed(tmp_path, capsys, "clinfed", "simulate", "adapter.r") == ["adapter.r="]


def test_bash_completes_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed(tmp_path, capsys, "clinfed", "score", "--go") == ["--gold"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_its_shell_can_parse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out, "utf-8")
    subprocess.run([shell, "-n", str(script)], check=True)
