import json
from pathlib import Path

import pytest

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
    assert (
        captured.err == "clinfed config: strategy=nope: no such option; choose one of "
        "fedadam, fedavg, fedprox, fedrows, ffa_lora, median, scaffold\n"
    )
