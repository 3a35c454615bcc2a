"""The worst answers that the schema lets through cost the coordinator little beyond their own bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

from clinfed.protocol import Reason

ROOT = Path(__file__).parents[3]
LIMIT_MB = 200 - 32  # the answer's own bytes are held as well


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("newlines", Reason.COUNTS),
        ("more_rows", Reason.COUNTS),
        ("as_many_rows_as_may_be", "accepted"),
        ("empty_tensors", Reason.NAMES),
        ("honest", "accepted"),
    ],
)
def test_reading_the_worst_answer_takes_less_than_two_hundred_megabytes(kind: str, reason: str) -> None:
    command = [sys.executable, "-m", "tests.server.wire.memory_of_answers", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    used, _, found = done.stdout.strip().partition(" ")
    assert found == str(reason)
    assert int(used) <= LIMIT_MB
