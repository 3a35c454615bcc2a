"""`clinfed count`: the reference setting to the unit, and what it says of a wrong number of labels."""

import json

import pytest

import configs
from clinfed.cli import main
from clinfed.experiments.count import count_run

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


# Section 1.2 of the arithmetic on the reference paper: trainable parameters with 29,001 tags, to the unit.
WIDE = {"lora": 64_769_097, "qlora": 64_769_097, "dora": 64_852_041, "loha": 107_236_425, "lokr": 22_455_369}
NARROW = {"lora": 43_535_433, "qlora": 43_535_433, "dora": 43_576_905, "loha": 64_769_097, "lokr": 22_378_569}
FULL = {"roberta_bne": 146_354_505, "distilmbert": 157_035_849, "mbert": 199_564_617, "mdeberta": 300_520_521}
RANKS = {256: 64_769_097, 128: 43_535_433, 64: 32_918_601, 32: 27_610_185}


def test_the_papers_column_is_counted_to_the_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "--paper", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    wanted = [
        (base, method, (NARROW if base == "distilmbert" else WIDE)[method] if method != "full" else FULL[base])
        for base in FULL
        for method in ("full", "lora", "dora", "loha", "lokr", "qlora")
    ]
    wanted += [("mbert", "qlora", count) for count in RANKS.values()]
    assert [(cell["base"], cell["method"], cell["trainable"]) for cell in cells] == wanted
    assert len(cells) == 28
    assert all(cell["equal"] for cell in cells)


@pytest.mark.parametrize(("labels", "method"), [(28_998, "dora"), (29_019, "loha")])
def test_another_number_of_tags_breaks_three_cells(
    labels: int, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["count", "--paper", f"head.labels={labels}", "--json"]) == 1
    broken = [cell for cell in json.loads(capsys.readouterr().out) if not cell["equal"]]
    assert [(cell["base"], cell["method"]) for cell in broken] == [
        (base, method) for base in ("roberta_bne", "mbert", "mdeberta")
    ]


def test_the_papers_table_says_how_many_cells_are_equal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "--paper"]) == 0
    assert capsys.readouterr().out.endswith("28 of 28 cells equal the published figure at 0.1 M\n")
    assert main(["count", "--paper", "adapter.r=8"]) == 2


def test_memory_is_estimated_on_request_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["base=tiny", "task=jerl", "head.labels=801", "training.batch_notes=4", "training.window=64"]
    assert main(["count", *settings, "training.stride=8", "--memory", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out.splitlines()[-1])["memory_bytes"]
    assert memory.pop("total") == sum(memory.values())
    assert memory["weights"] > 4 * 4_000_000  # the embedded base has more than four million numbers


def test_matched_parameters_are_matched() -> None:
    counts = {
        name: count_run(configs.load(overrides), num_codes=10).adapter
        for name, overrides in configs.experiment_rows("matched_parameters").items()
    }
    assert set(counts) == {"lora", "dora", "loha", "lokr"}
    assert counts["lora"] == 16 * 4 * (256 + 768 + 256 + 256 + 256 + 1024 + 512 + 256)  # r (inputs + outputs), 4 layers
    assert all(count == pytest.approx(counts["lora"], rel=0.05) for count in counts.values())
