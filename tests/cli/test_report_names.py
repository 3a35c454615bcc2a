"""`clinfed report`: what the rows of runs are called."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.experiments.gathered import Given, gather
from clinfed.experiments.rows import Row


def copied(run: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """Return a copy of a run whose record was changed."""
    shutil.copytree(run, target)
    record = json.loads((target / "record.json").read_text("utf-8"))
    change(record)
    (target / "record.json").write_text(json.dumps(record), "utf-8")
    return target


def test_runs_of_the_same_settings_are_named_by_what_else_differs(runs: dict[str, Path], tmp_path: Path) -> None:
    newer = copied(runs["public"], tmp_path / "newer", lambda record: record["fingerprints"].update(code="ab" * 32))
    fewer = copied(newer, tmp_path / "fewer", lambda record: record["manifest"]["ca"].update(notes=7))
    code = json.loads((runs["public"] / "record.json").read_text("utf-8"))["fingerprints"]["code"][:8]
    names = [name for _, name, _ in gather([runs["public"], newer])]
    assert names == [f"centralised (code {code})", "centralised (code abababab)"]
    held = json.loads((newer / "record.json").read_text("utf-8"))["manifest"]
    notes = [sum(entry["notes"] for entry in held.values()), 7 + held["es"]["notes"]]
    names = [name for _, name, _ in gather([newer, fewer])]
    assert names == [f"centralised ({count:,} notes)" for count in notes]
    other_seed = copied(runs["public"], tmp_path / "seed", lambda record: record["seeds"].update(run=1))
    other_seed = copied(other_seed, tmp_path / "code", lambda record: record["fingerprints"].update(code="ab" * 32))
    assert {name for _, name, _ in gather([runs["public"], other_seed])} == {"centralised"}  # two seeds of one row


def test_a_row_is_called_what_the_user_says(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    shutil.copytree(runs["public"], folder)
    arguments = [f"one place={runs['public']}", f"r=4 again={folder}"]
    assert main(["report", *arguments, "-o", str(tmp_path / "two.html"), "--notes", "0"]) == 0
    rows = [line.split(",")[0] for line in (tmp_path / "two.csv").read_text("utf-8").splitlines()[1:5]]
    assert rows == ["one place", "r=4 again", "one place + lexicon", "r=4 again + lexicon"]
    text = (tmp_path / "two.md").read_text("utf-8")
    assert text.startswith("The centralised adapter “one place” reaches strict micro-F1")
    assert "It is not told apart from r=4 again [.000, .000]; " in text
    assert main(["report", *arguments, "-o", str(tmp_path / "two.html"), "--verify"]) == 0


def test_the_rows_of_a_named_comparison_keep_their_own_names(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("local ca", "centralised"):
        shutil.copytree(runs["public"], Row(name, "train").folder(tmp_path / "both", 0) / "run")
    shutil.copytree(runs["public"], Row("centralised", "train").folder(tmp_path / "one", 0) / "run")
    found = gather([Given(tmp_path / "both", "north"), Given(tmp_path / "one", "south")])
    assert [name for _, name, _ in found] == ["north: centralised", "north: local ca", "south"]


@pytest.mark.parametrize("name", ["", " ", "a|b", "a\nb", "lexicon, pooled", "one + lexicon"])
def test_a_name_that_no_row_may_have_is_refused(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", f"{name}={runs['public']}"]) == 2
    assert "name" in capsys.readouterr().err


def test_a_row_of_any_name_is_read_back(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("local ../north", "joint, half of each", "NAME + lexicon 100%"):
        folder = Row(name, "train").folder(tmp_path, 0)
        assert folder.parent.parent == tmp_path  # and not above it
        shutil.copytree(runs["public"], folder / "run")
    assert {name for _, name, _ in gather([tmp_path])} == {
        "local ../north",
        "joint, half of each",
        "NAME + lexicon 100%",
    }


def test_the_same_run_twice_is_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["public"], copy)
    assert main(["report", str(runs["public"]), str(copy)]) == 2
    assert f"{copy}: has the settings and the seed of {runs['public']}" in capsys.readouterr().err


def test_two_runs_of_other_settings_are_two_rows(runs: dict[str, Path], tmp_path: Path) -> None:
    assert main(["report", *map(str, runs.values()), "-o", str(tmp_path / "both.html"), "--notes", "0"]) == 0
    rows = [line.split(",")[0] for line in (tmp_path / "both.csv").read_text("utf-8").splitlines()[1:3]]
    assert rows[0].startswith("centralised (")
    assert rows[1].startswith("centralised (")
    assert ("corpus=synthetic" in rows[0], "corpus=jsonl" in rows[1]) == (True, True)
    assert str(runs["site"].parent.parent) not in (tmp_path / "both.html").read_text("utf-8")  # no folder is told
    page = (tmp_path / "both.html").read_text("utf-8")
    assert (runs["public"].name in page, runs["site"].name in page) == (True, True)


def test_a_path_that_tells_two_rows_apart_is_not_shown(runs: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(runs["site"], moved)
    record = json.loads((moved / "record.json").read_text("utf-8"))
    record["config"]["corpus"]["path"] = "/data/canarypatient.jsonl"
    (moved / "record.json").write_text(json.dumps(record), "utf-8")
    assert main(["report", str(runs["site"]), str(moved), "-o", str(tmp_path / "two.html"), "--notes", "0"]) == 0
    assert [path for path in tmp_path.glob("two*") if b"corpus.path=" in path.read_bytes()]
    assert not [path for path in tmp_path.glob("two*") if b"canary" in path.read_bytes()]
