"""The command itself: exit codes, one-line errors, and what is imported for it."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import COMMANDS, main
from clinfed.errors import UserError
from clinfed.experiments.simulate import with_detail


def test_a_users_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "strategy=nope"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clinfed simulate: strategy=nope: no such option; choose one of ")
    assert error.count("\n") == 1
    assert "fedavg" in error


def test_a_path_that_is_not_there_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "corpus=jsonl", "corpus.path=notes.jsonl"]) == 2
    assert f"corpus.path={tmp_path}/notes.jsonl: no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nope"], ["--nope"]])
def test_an_unknown_command_lists_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: clinfed")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["score", "rounds=2"], "clinfed score: rounds=2: no such argument; see clinfed score --help"),
        (["score", "--rounds", "2"], "clinfed score: --rounds: no such option; see clinfed score --help"),
        (["--rounds", "simulate"], "clinfed: --rounds: no such option; see clinfed simulate --help"),
    ],
)
def test_what_a_command_does_not_take_is_one_line(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--gold", "notes.jsonl", "--pred", "notes.jsonl"] if typed[0] == "score" else []
    assert main([*typed, *wanted]) == 2
    assert capsys.readouterr().err == f"{said}\n"


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"clinfed {version('clinfed')}\n"


def test_the_package_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "clinfed", "config", "rounds=2"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "rounds: 2\n" in done.stdout


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        (["--rounds", "6"], "--rounds: no such option; settings have no dashes before them: write rounds=6"),
        (["--adapter.r=8"], "--adapter.r=8: no such option; settings have no dashes before them: write adapter.r=8"),
        (
            ["--lr", "0.1"],
            "--lr: no such option; settings have no dashes before them: write training.learning_rate=0.1",
        ),
        (["--rounds", "seed=1"], "--rounds: no such option; settings have no dashes before them: write rounds=VALUE"),
        (["--jsn"], "--jsn: no such option; see clinfed config --help"),
    ],
)
def test_a_setting_with_dashes_is_told_how_to_write_it(
    capsys: pytest.CaptureFixture[str], typed: list[str], advice: str
) -> None:
    assert main(["config", *typed]) == 2
    assert capsys.readouterr().err == f"clinfed config: {advice}\n"


def test_options_may_stand_between_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "rounds=2", "--json", "seed=3"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["rounds"], printed["seed"]) == (2, 3)


def test_help_says_what_each_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("clinfed.experiments.simulate.load", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["simulate"])


def test_light_commands_load_neither_torch_nor_flower() -> None:
    code = (
        "import sys; from clinfed.cli import main; main(['config']); "
        "print('loaded', sorted({'torch', 'flwr', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_a_command_that_trains_does_not_load_torchs_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHDYNAMO_DISABLE", raising=False)
    program = "import sys; from clinfed.cli import main; main(['config']); import peft; "
    program += "print('bitsandbytes' in sys.modules, 'torch._inductor.compile_fx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True False"


def test_what_a_user_says_of_torchs_compiler_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "0")
    assert main(["config"]) == 0
    assert os.environ["TORCHDYNAMO_DISABLE"] == "0"


def test_a_simulated_clinics_own_line_replaces_what_the_server_may_know(tmp_path: Path) -> None:
    kept = tmp_path / "detail.log"
    kept.write_text("Traceback ...\nclinfed.corpus.input_checks.BadInputError: notes.jsonl:3: broken code\n", "utf-8")
    assert str(with_detail(UserError("node 1: hello failed"), [kept])) == "notes.jsonl:3: broken code"
    kept.write_text("Traceback ...\nValueError: Pacient amb asma\n", "utf-8")
    assert str(with_detail(UserError("node 1: hello failed"), [kept])) == f"node 1: hello failed: {kept}"
    assert str(with_detail(UserError("two SuperNodes"), [])) == "two SuperNodes"


def test_a_key_with_a_new_name_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "join.wait_s=7"]) == 0
    found = capsys.readouterr()
    assert found.err == "join.wait_s is now called wait_for_clients.wait_s; the old name works until version 0.3\n"
    assert "wait_s: 7.0" in found.out
