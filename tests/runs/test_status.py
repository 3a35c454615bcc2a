"""The file in which a run says where it stands: whole or absent, private, and refused in plain words where broken."""

import stat
from pathlib import Path

import pytest

from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.runs import status
from clinfed.runs.status import Status


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    now = Status(folder="/runs/a b", record="/runs/a b/record.json", lines=3)
    status.write(path, Status(folder="/runs/a b"))
    status.write(path, now)
    assert status.read(path) == now
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_an_absent_file_says_that_nothing_is_known_yet(tmp_path: Path) -> None:
    assert status.read(tmp_path / "status.json") == Status()
    assert not Status(folder="/runs/a").ended


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b'{"folder": "/r", "record": "/r/rec',
        b"[]",
        b"\xff\xfe",
        b'{"folder": "/r"}',
        b'{"folder": "/r", "record": 1, "error": "", "lines": 0}',
        b'{"folder": "/r", "record": "", "error": "", "lines": 0, "more": ""}',
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, found: bytes) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(found)
    with pytest.raises(UserError) as error:
        status.read(path)
    assert str(error.value).startswith(f"{path}: found no status of a run, expected a JSON object of folder, record, ")
    assert "\n" not in str(error.value)


def test_a_refused_command_tells_the_one_that_has_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(status.VARIABLE, str(tmp_path / "status.json"))
    assert main(["train", "rounds=0"]) == 2
    assert capsys.readouterr().err == f"clinfed train: {status.read(tmp_path / 'status.json').error}\n"
