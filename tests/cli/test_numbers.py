"""Each numeric option of each command has limits and refuses what is outside of them in one line."""

import argparse
import importlib
import math
from collections.abc import Iterator

import pytest

from clinfed.cli import COMMANDS, main
from clinfed.cli.options import Number
from clinfed.errors import UserError


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield a parser's options, and those of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)


def options_of(command: str) -> list[argparse.Action]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"clinfed.cli.{command}").add_arguments(parser)
    return list(actions(parser))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_number_of_a_command_is_without_limits(command: str) -> None:
    assert [each.dest for each in options_of(command) if each.type in (int, float)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_outside_their_limits_are_refused_by_name(command: str) -> None:
    for each in options_of(command):
        if not isinstance(each, Number):
            continue
        step = 1 if each.kind is int else 1e-9
        wrong = [each.limits["least"] - step, each.limits["most"] + step, math.nan, math.inf, "many"]
        for value in wrong:
            with pytest.raises(UserError, match=f"^{each.option_strings[-1]}={value}: expected ".replace("+", r"\+")):
                each.number(str(value), each.option_strings[-1])
        assert each.number(str(each.limits["least"]), "") == each.limits["least"]
        assert each.number(str(each.limits["most"]), "") == each.limits["most"]


@pytest.mark.parametrize("value", ["50", "nan", "inf", "-1", "half"])
def test_a_score_is_a_fraction(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--adapter", "a", "--notes", "n", "--out", "o.jsonl", "--min-score", value]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("clinfed predict: --min-score=")
    assert "at least 0 and at most 1" in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps=0", "steps=0: expected at least 1"),
        ("masked=nan", "masked=nan: expected more than 0 and less than 1"),
        ("steps=many", "steps=many: expected a whole number"),
        ("heads=3", "hidden_size=256 heads=3: expected a multiple of heads"),
    ],
)
def test_settings_of_pretraining_have_limits(setting: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--synthetic-seed", "1", "--synthetic-patients", "1", "--out", "o", setting]) == 2
    assert message in capsys.readouterr().err
