"""What an older version's files say is read as that version meant it."""

import configs
from clinfed.experiments.gathered import distinguishing
from clinfed.experiments.rows import Row
from configs.migrations import completed
from configs.portable import portable, unpacked


def older() -> dict:
    values = configs.resolved(configs.load())
    del values["training"]["head_factor"]
    return values


def test_an_older_run_trained_its_head_at_the_adapters_rate() -> None:
    assert completed(older())["training"]["head_factor"] == 1.0
    now = configs.resolved(configs.load(["training.head_factor=3"]))
    assert completed(now) == now


def test_an_older_adapter_is_adapted_at_one_rate() -> None:
    settings = portable(configs.load())
    assert unpacked(settings).training.head_factor == 5.0
    del settings["training"]["head_factor"]
    assert unpacked(settings).training.head_factor == 1.0


def test_a_report_tells_an_older_run_from_one_with_todays_recipe() -> None:
    runs = [older(), configs.resolved(configs.load())]
    assert distinguishing(runs) == ["training.head_factor=1.0", "training.head_factor=5.0"]


def test_a_comparison_runs_what_an_older_version_trained_otherwise() -> None:
    row = Row("federated", "simulate", settings=configs.resolved(configs.load()))
    assert row.changed(older()) == ["training.head_factor"]
    assert (
        Row("federated", "simulate", settings=configs.resolved(configs.load(["training.head_factor=1"]))).changed(
            older()
        )
        == []
    )
