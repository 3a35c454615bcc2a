"""`clinfed classify`: real runs on small notes; federated and pooled from the same vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

import configs
from clinfed.cli import main
from clinfed.clinic.data import Simulation
from clinfed.experiments.classifiers import Classifiers

FAST = ["classifier.hidden=16", "classifier.epochs=2", "training.bf16=false"]


@pytest.fixture
def classified(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command; it gives the JSON object, the record and what was printed."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[Any, Any, str]:
        assert main(["classify", *world.overrides, *FAST, *arguments, "--json"]) == 0
        printed = capsys.readouterr()
        found = json.loads(printed.out.splitlines()[-1])
        return found, json.loads(Path(found["record"]).read_text("utf-8")), printed.err

    return run


def test_all_systems_stand_in_a_table_of_their_own_level(classified: Any, world: Any) -> None:
    found, record, printed = classified()
    names = [each["name"] for each in found["documents"]]
    assert names[:4] == ["local ca", "local es", "centralised", "federated"]
    assert names[4:] == ["lexicon, pooled", "lexicons, each clinic's own"]
    assert "document micro-F1" in printed
    assert "Not comparable with strict spans" in printed
    federated, pooled = record["systems"]["federated"], record["systems"]["centralised"]
    assert (federated["notes"], federated["epochs"]) == (pooled["notes"], pooled["epochs"])  # one budget
    # 2 rounds x 2 clinics x 4 bytes a parameter
    assert federated["bytes_up"] == 16 * federated["trainable_parameters"]
    assert pooled["bytes_up"] == 0
    for text in (printed, json.dumps(record), json.dumps(found)):
        assert not [canary for canary in world.canaries if canary in text]


def test_a_second_run_reads_no_note_again_and_gives_the_same_bits(classified: Any) -> None:
    _, first, _ = classified()
    _, second, _ = classified()
    assert first["encoder_notes"] == 160
    assert second["encoder_notes"] == 0
    hashes = [{name: each["state_sha256"] for name, each in record["systems"].items()} for record in (first, second)]
    assert hashes[0] == hashes[1]


def test_one_clinic_and_one_round_equal_the_plain_loop_bit_for_bit(classified: Any) -> None:
    _, record, _ = classified("partition=pooled", "rounds=1")
    systems = record["systems"]
    assert systems["federated"]["state_sha256"] == systems["centralised"]["state_sha256"]
    assert systems["federated"]["test"] == systems["centralised"]["test"]


def test_one_place_takes_as_many_notes_a_step_as_its_clinics_together(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    overrides = [*world.overrides, *FAST, "classifier.batch_notes=5"]
    classifiers = Classifiers(overrides, Simulation.deal(configs.load(overrides), 2))
    taken: list[tuple[int, str]] = []

    def train(
        tagger: Any, task: Any, examples: Any, settings: Any, *, epochs: Any, clinic: str, **options: Any
    ) -> None:
        taken.append((settings.batch_notes, clinic))
        assert epochs.numbers == range(4)  # 2 rounds of 2 epochs

    monkeypatch.setattr("clinfed.experiments.classifiers.train", train)
    monkeypatch.setattr(Classifiers, "train_federated", lambda self: None)
    found = [name for name, *_ in classifiers.train_all(lambda line: None)]
    assert found == ["local ca", "local es", "centralised", "federated"]
    assert taken == [(5, "ca"), (5, "es"), (10, "pooled")]


def test_rounds_of_parts_of_an_epoch_make_no_more_passes(classified: Any) -> None:
    (_, whole, _), (_, parts, _) = classified("rounds=2"), classified("rounds=4", "rounds_per_epoch=2")
    for name, system in whole["systems"].items():
        assert parts["systems"][name]["state_sha256"] == system["state_sha256"]


def test_a_choice_of_notes_is_refused(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", *world.overrides, "only.clinic=ca"]) == 2
    assert "only.*" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["classify", "train"])
def test_what_trains_in_one_go_does_not_take_the_folder_of_an_interrupted_federation(
    command: str, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *world.overrides, f"resume={tmp_path}"]) == 2
    assert f"resume={tmp_path}: only `clinfed simulate` resumes a run" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
