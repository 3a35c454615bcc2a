import json
from pathlib import Path

import pytest

import configs
from clinfed.cli import main


def test_config_prints_the_resolved_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "strategy=fedprox", "adapter.r=8"]) == 0
    printed = capsys.readouterr().out
    assert "proximal_mu: 0.01" in printed
    assert "  r: 8\n" in printed


def test_config_prints_json_with_paths_seen_from_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "--json", "output=runs"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(tmp_path / "runs")


def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "strategy=nope"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    choices = ", ".join(configs.options("strategy"))
    assert captured.err == f"clinfed config: strategy=nope: no such option; choose one of {choices}\n"


def test_all_keys_are_listed_with_default_limits_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["config", "--help-keys", "stop"]) == 0
    head, line, *_ = capsys.readouterr().out.splitlines()
    columns = [head.index(name) for name in ("key", "default", "expected", "meaning")]
    cells = [line[start:end].strip() for start, end in zip(columns, [*columns[1:], None], strict=True)]
    assert cells[:2] == ["stop.patience", "0"]
    assert cells[2].startswith("whole number, at least 0")
    assert cells[3].startswith("ends the run after so many")


def test_keys_are_listed_for_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--help-keys", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"name": "rounds", "default": "4"}.items() <= next(
        each for each in listed if each["name"] == "rounds"
    ).items()
