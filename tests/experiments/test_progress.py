"""The bar: on a terminal, with the remaining time; in a pipe, nothing of it."""

import io
import json
import os
import sys
from pathlib import Path
from typing import TextIO

import pytest

from clinfed.experiments.progress import Bar, rounds_done
from server.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: TextIO, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return what a command with a bar writes to standard error, if that can be read again, and to standard output."""
    monkeypatch.setattr(sys, "stderr", stream)
    out = io.StringIO()
    with Bar(4) as bar:
        bar.set(1, "1 of 4 runs")
        bar.say("a line", out)
        bar.set(3, "3 of 4 runs")
    return stream.getvalue() if isinstance(stream, io.StringIO) else "", out.getvalue()


def test_a_terminal_sees_how_much_is_done_and_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    error, out = shown(Terminal(), monkeypatch)
    assert "3 of 4 runs" in error
    assert " 75%|" in error
    assert " left" in error
    assert out == "a line\n"


def test_a_terminal_that_says_no_size_sees_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()  # a new one has 0 rows and 0 columns
    os.set_blocking(ours, False)
    with os.fdopen(ours, "rb", buffering=0) as seen, os.fdopen(theirs, "w", encoding="utf-8") as stream:
        shown(stream, monkeypatch)
        stream.flush()
        assert " 75%|" in (seen.read(4096) or b"").decode()


def test_a_pipe_gets_the_lines_and_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == ("", "a line\n")


def test_a_round_is_done_as_its_clinics_answer(tmp_path: Path) -> None:
    assert rounds_done(tmp_path) is None
    (tmp_path / "state").mkdir()
    Progress(tmp_path, rounds=5)(2, 1, 4)
    # One round and a fourth of the second, of five: 1.25 / 5.
    assert rounds_done(tmp_path) == (0.25, "round 2/5, 1 of 4 clinics")
    Progress(tmp_path, rounds=5)(5, 4, 4)
    assert rounds_done(tmp_path) == (1.0, "all rounds are done; evaluating")


def test_a_run_goes_on_where_its_progress_cannot_be_written(tmp_path: Path) -> None:
    Progress(tmp_path / "not there", rounds=5)(1, 0, 2)
    assert list(tmp_path.iterdir()) == []


def test_the_server_writes_as_each_clinic_answers(run_locally: object, world: object) -> None:
    record, _ = run_locally([*world.overrides, "rounds=2"])  # type: ignore[operator, attr-defined]
    written = json.loads((record["folder"] / "state" / "progress.json").read_text("utf-8"))
    assert written == {"round": 2, "rounds": 2, "answers": 2, "clinics": 2}
