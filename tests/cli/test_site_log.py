"""`clinfed site log` and `clinfed site status`: what a site's engineer sees of the ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from clinfed import protocol
from clinfed.cli import main
from clinfed.clinic.ledger import Asked, Ledger, Origin
from tests.cli.test_check import site_toml

ORIGIN = Origin(42, "rounds=3", "somebody")
HELLO = Asked("north", "", protocol.HELLO, 0, "", "", 64 * "5", 32 * "0", origin=ORIGIN)
TRAIN = Asked("north", 32 * "a", protocol.TRAIN, 1, "validation", "adapter", 64 * "5", 32 * "1", origin=ORIGIN)
TEST = Asked("north", 32 * "a", protocol.EVALUATE, 3, "test", "adapter", 64 * "5", 32 * "2", True, origin=ORIGIN)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return the ledger of a site after one run and a refusal."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    ledger = Ledger()
    for asked in (HELLO, TRAIN, TEST):
        ledger.admit(asked)
        ledger.answered(asked, tensor_bytes=123_456, counts=7, figures={"loss": 1.0})
    ledger.refused("rank_cap", protocol.HELLO, {"nonce": 32 * "3"}, ORIGIN)
    return ledger


def test_the_log_has_a_row_for_each_line_newest_last(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "log"]) == 0
    headings, *rows = capsys.readouterr().out.splitlines()
    assert headings.split()[:2] == ["time", "(UTC)"]
    assert [row.split("somebody")[1].strip() for row in rows] == [
        "hello; settings 55555555; rounds=3",
        "sent 123,456 bytes of tensors, 7 counts, 1 figures",
        "train round 1, evaluates validation; settings 55555555",
        "sent 123,456 bytes of tensors, 7 counts, 1 figures",
        "evaluate round 3, evaluates test; settings 55555555",
        "sent 123,456 bytes of tensors, 7 counts, 1 figures",
        "refused by rank_cap: query.hello; rounds=3",
    ]
    assert all(row.split()[0].endswith("Z") and " 42 " in row for row in rows)


def test_verify_names_the_first_broken_line_and_exits_with_1(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["site", "log", "--verify"]) == 0
    assert "7 lines fit together" in capsys.readouterr().out
    ledger.path.write_text(ledger.path.read_text().replace('"counts": 7', '"counts": 6', 1))
    assert main(["site", "log", "--verify"]) == 1
    assert f"{ledger.path}:2: this line was changed" in capsys.readouterr().err


def test_a_log_of_a_site_that_was_never_asked_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    assert main(["site", "log"]) == 0
    assert "nobody has asked this site anything" in capsys.readouterr().out


def test_status_is_one_screen(ledger: Ledger, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["site", "status", "--settings", site_toml(tmp_path, world), "corpus=jsonl"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for line in (
        "site        north",
        "policy      least_notes 5, least_patients 5,",
        "ledger      intact, 7 lines in ",
        "test notes  evaluated by 1 runs of 20 that may",
        "refusals    1 (rank_cap 1), the last 20",
        "last runs   aaaaaaaa 20",
        "2 answers, 246,912 bytes of tensors",
    ):
        assert line in printed, printed
    assert len(printed.splitlines()) < 25
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text(
        "\n".join([*lines[:3], json.dumps({**json.loads(lines[3]), "counts": 1}), *lines[4:]]) + "\n"
    )
    assert main(arguments) == 1
    assert "  BROKEN: " in capsys.readouterr().out
