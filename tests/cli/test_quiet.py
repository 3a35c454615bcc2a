"""No command repeats another library's advice."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clinfed.cli import COMMANDS, main

NOTICE = logging.getLogger("bitsandbytes.backends.cpu.ops")  # which asks for a package that fetches kernels


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_silences_bitsandbytes_before_it_can_be_imported(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    NOTICE.setLevel(logging.NOTSET)
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert NOTICE.getEffectiveLevel() >= logging.ERROR
    assert capsys.readouterr().err == ""


def test_counting_prints_nothing_but_the_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clinfed.cli", "count", "task=jerl", "base=mbert", "adapter=lora"]
    environment = {**os.environ, "CLINFED_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stderr) == (0, "")
