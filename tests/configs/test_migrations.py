"""What an older version's files say is read as that version meant it."""

import configs
from clinfed.experiments.gathered import distinguishing
from clinfed.experiments.rows import Row
from configs.migrations import completed, notices
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


def test_a_key_of_an_older_version_works_under_its_new_name() -> None:
    run = configs.load(["join.wait_s=7", "classifier.passes=3"])
    assert (run.wait_for_clients.wait_s, run.classifier.epochs) == (7, 3)
    assert notices(["join.wait_s", "rounds"]) == [
        "join.wait_s is now called wait_for_clients.wait_s; the old name works until version 0.3"
    ]


def test_the_settings_of_an_older_run_stand_under_todays_names() -> None:
    now = configs.resolved(configs.load(["wait_for_clients.minimum=2", "classifier.epochs=3"]))
    old = {group: dict(of) if isinstance(of, dict) else of for group, of in now.items()}
    old["join"] = old.pop("wait_for_clients")
    old["classifier"]["passes"] = old["classifier"].pop("epochs")
    assert completed(old) == now
