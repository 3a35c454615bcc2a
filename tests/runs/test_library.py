"""The runs of a machine: listed, named, found, removed."""

import json
from pathlib import Path

import pytest

from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.runs import library


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return a finished run of F1 .75, an interrupted one, and a folder that is no run."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    finished, interrupted, other = (tmp_path / "runs" / name for name in ("20260101-a", "20260102-b", "notes"))
    (interrupted / library.STATE).mkdir(parents=True)
    other.mkdir()
    finished.mkdir()
    test = {"federated": {"all": {"micro": {"f1": 0.75}}}}
    record = {"schema": 1, "started": "2026-01-01T10:00:00+00:00", "test": test, "rounds": [{}, {}]}
    (finished / library.RECORD).write_text(json.dumps(record), "utf-8")
    return {"finished": finished, "interrupted": interrupted, "other": other}


def test_runs_are_listed_newest_first_and_other_folders_are_not(folders: dict[str, Path]) -> None:
    assert library.folders() == [folders["interrupted"], folders["finished"]]


def test_a_listing_says_score_and_rounds(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    header, interrupted, finished = capsys.readouterr().out.splitlines()
    assert finished.split()[:4] == ["20260101-a", "2026-01-01T10:00", "federated", "2"]
    assert ".750" in finished
    assert interrupted.split() == ["20260102-b", "interrupted", "-", "0", "B"]
    assert header.split() == ["run", "name", "started", "system", "rounds", "F1", "size"]


def test_a_run_of_a_task_without_f1_is_listed(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = folders["finished"] / library.RECORD
    measured = {"federated": {"all": {"measures": {"perplexity": 2.5}}}}
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"test": measured}), "utf-8")
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[3:5] == ["2", "-"]


def test_a_named_run_is_found_by_its_name(folders: dict[str, Path]) -> None:
    assert main(["runs", "name", "20260101-a", "first try"]) == 0
    assert library.find("first try") == folders["finished"]
    assert library.listed(folders["finished"]).name == "first try"


def test_a_name_is_taken_once(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "name", "20260101-a", "mine"]) == 0
    assert main(["runs", "name", "20260102-b", "mine"]) == 2
    assert "another run has this name" in capsys.readouterr().err


def test_an_unknown_run_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="no run of this name"):
        library.find("notes")


def test_removing_deletes_the_folder(folders: dict[str, Path]) -> None:
    assert main(["runs", "remove", "20260102-b", "--yes"]) == 0
    assert not folders["interrupted"].exists()
    assert folders["finished"].exists()


def test_removing_without_a_terminal_asks_for_yes(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "remove", "20260102-b"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert folders["interrupted"].exists()
