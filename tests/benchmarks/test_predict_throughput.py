"""The benchmark of prediction runs to its end; what it measures on a busy machine is not evaluated."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "predict_throughput.py"


def test_it_runs_both_sides_on_the_same_notes(tmp_path: Path) -> None:
    arguments = ["--count", "8", "--repeats", "1", "--threads", "1", "--bar", "0"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["notes"] == 8
    assert "8 notes" in done.stderr + done.stdout, "the command itself has read them"
    assert min(result["ratios"].values()) > 0
