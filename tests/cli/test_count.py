"""`clinfed count`: the reference setting to the unit, and what it says of a wrong number of labels."""

import json

import pytest

from clinfed.cli import main

REFERENCE = ["task=jerl", "base=mbert", "adapter=lora", "adapter.r=256", "head.labels=29001"]


def test_the_reference_setting_to_the_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", *REFERENCE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "adapter": 42_467_328,
        "head": 22_301_769,
        "trainable": 64_769_097,
        "frozen": 177_262_848,
        "wire_bytes": 259_076_388,
    }


def test_the_factored_head_has_three_and_one_rows_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", *REFERENCE, "task=jerl_factored", "--json"]) == 0
    # 14,500 codes: 769 * (3 + 14,500)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["head"] == 11_152_807


def test_without_json_the_numbers_stand_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", *REFERENCE]) == 0
    assert "trainable       64,769,097" in capsys.readouterr().out


@pytest.mark.parametrize("labels", ["29000", "1", "-3", "many", ""])
def test_an_impossible_number_of_tags_is_refused(labels: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", f"head.labels={labels}"]) == 2
    assert "expected an odd number of tags" in capsys.readouterr().err


def test_memory_is_estimated_on_request_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["base=tiny", "task=jerl", "head.labels=801", "training.batch_notes=4", "training.window=64"]
    assert main(["count", *settings, "training.stride=8", "--memory", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out.splitlines()[-1])["memory_bytes"]
    assert memory.pop("total") == sum(memory.values())
    assert memory["weights"] > 4 * 4_000_000  # the embedded base has more than four million numbers
