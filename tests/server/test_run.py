"""Whole runs of server and clinics in one process: what must hold whatever carries the messages."""

import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord

from clinfed.adapters.codec import WIRE_VERSION, decode
from clinfed.adapters.folder import load_state
from clinfed.adapters.state import AdapterState
from clinfed.bases import meta_encoder
from clinfed.corpus.note import Note
from clinfed.corpus.splits import split_of
from clinfed.errors import UserError
from clinfed.evaluation.merging import evaluation
from clinfed.experiments.train import train
from clinfed.probes.parameters import count
from clinfed.protocol import ADAPTER, TENSORS, Answer
from clinfed.runs.machine import machine
from clinfed.runs.record import COUNTS, VALIDATION_COUNTS, read_counts, summary
from clinfed.runs.recorder import busiest_training
from clinfed.training.predict import predict
from configs import load
from configs.discovery import options


def tensors_of(record: ArrayRecord) -> AdapterState:
    """Return the tensors of a real message's `adapter`."""
    return decode(record[TENSORS].data, version=WIRE_VERSION)


def test_two_runs_end_with_the_same_adapter(run_locally: Any, world: Any) -> None:
    first, _ = run_locally(world.overrides)
    second, _ = run_locally(world.overrides)
    other, _ = run_locally([*world.overrides, "seed=1"])
    assert first["adapter_sha256"] == second["adapter_sha256"] != other["adapter_sha256"]


def with_method(world: Any, adapter: str, *settings: str) -> list[str]:
    """Return the world's overrides for another method; some of them have no rank."""
    ranked = adapter not in ("full", "ia3", "none")
    return [each for each in world.overrides if ranked or each != "adapter.r=4"] + [f"adapter={adapter}", *settings]


@pytest.mark.parametrize("adapter", options("adapter"))
def test_one_clinic_and_one_round_equal_plain_training(
    run_locally: Any, world: Any, adapter: str, tmp_path: Path
) -> None:
    overrides = with_method(world, adapter, "rounds=1", "training.local_epochs=2")
    federated, _ = run_locally([*overrides, "partition=pooled"], nodes=1)
    path = train([*overrides, f"output={tmp_path / 'plain'}"], lambda text: None)
    assert federated["adapter_sha256"] in path.read_text("utf-8")


def test_an_epoch_may_be_spread_over_rounds(run_locally: Any, world: Any) -> None:
    whole, _ = run_locally([*world.overrides, "rounds=2"])
    parts, _ = run_locally([*world.overrides, "rounds=4", "rounds_per_epoch=2"])
    assert [entry["round"] for entry in parts["rounds"]] == [1, 2, 3, 4]
    for clinic in whole["rounds"][0]["clinics"]:
        steps = [entry["clinics"][clinic]["steps"] for entry in parts["rounds"]]
        assert [sum(steps[:2]), sum(steps[2:])] == [entry["clinics"][clinic]["steps"] for entry in whole["rounds"]]
    assert seen(parts) == pytest.approx(seen(whole))


def test_documents_per_second_count_each_pass(run_locally: Any, world: Any, tmp_path: Path) -> None:
    federated, _ = run_locally([*world.overrides, "rounds=2"])
    path = train([*world.overrides, "rounds=2", f"output={tmp_path / 'plain'}"], lambda text: None)
    plain = json.loads(path.read_text("utf-8"))
    notes = sum(each["notes"] for each in federated["rounds"][0]["clinics"].values())
    assert seen(federated) == pytest.approx(2 * notes)
    assert seen(plain) == pytest.approx(2 * notes)
    held = Counter(split for language in ("ca", "es") for split in splits(world.site_notes(language)))
    assert evaluated(federated) == pytest.approx(2 * held["validation"] + held["test"])
    assert evaluated(plain) == pytest.approx(held["validation"] + held["test"])


def test_the_wall_clock_of_training_is_the_busiest_workers_and_the_sum_is_all_clinics() -> None:
    def trained(worker: str, seconds: float) -> Answer:
        return Answer(worker, {"worker": worker}, {"train_s": seconds})

    # Two clinics in turn at one worker, a third beside them: 2 + 3 s against 4 s; the sum would be 9.
    assert busiest_training([trained("a", 2.0), trained("a", 3.0), trained("b", 4.0)]) == 5.0
    assert busiest_training([]) == 0.0


def splits(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [split_of(Note(row["id"], "", patient=row["patient"])) for row in rows]


def evaluated(record: Any) -> float:
    """Return how many notes were evaluated, a note once for each evaluation."""
    return record["probes"]["inference_documents_per_s"] * record["seconds_split"]["evaluate"]


def test_a_clinic_without_a_batch_in_a_round_has_no_say_in_its_loss(run_locally: Any, world: Any) -> None:
    spread = [*world.overrides, "partition=dirichlet", "rounds=2", "rounds_per_epoch=2"]
    held = run_locally([*spread, "training.batch_notes=999"])[0]["rounds"][0]["clinics"]
    fewer, more = sorted(each["notes"] for each in held.values())
    assert fewer < more
    record, _ = run_locally([*spread, f"training.batch_notes={fewer}"])  # one batch, and more than one
    first = {each["notes"]: each for each in record["rounds"][0]["clinics"].values()}
    assert first[fewer]["steps"] == 0
    assert record["rounds"][0]["loss"] == first[more]["loss"] > 0


def seen(record: Any) -> float:
    """Return how many notes were trained on, a note once for each pass."""
    return record["probes"]["documents_per_s"] * record["probes"]["training_s"]


@pytest.mark.parametrize("adapter", options("adapter"))
def test_three_rounds_of_three_clinics_train_and_save_every_method(run_locally: Any, world: Any, adapter: str) -> None:
    record, grid = run_locally(with_method(world, adapter, "rounds=3", "partition=iid"), nodes=3)
    losses = [entry["loss"] for entry in record["rounds"]]
    assert losses[2] < losses[0]
    assert [len(entry["clinics"]) for entry in record["rounds"]] == [3, 3, 3]
    saved = load_state(record["folder"] / "adapter")
    assert saved.sha256() == record["adapter_sha256"]
    sent = [message.content[ADAPTER] for message in grid.received if ADAPTER in message.content]
    assert {tensors_of(each).num_bytes for each in sent} == {saved.num_bytes}


def test_tensors_on_the_wire_are_what_count_counts(run_locally: Any, world: Any) -> None:
    record, grid = run_locally(world.overrides)
    run = load(world.overrides)
    codes = run.corpus.codes()
    counted = count(*_meta(run, len(codes)))
    sent = [message.content[ADAPTER] for message in grid.sent if message.metadata.message_type == "train"]
    returned = [message.content[ADAPTER] for message in grid.received if ADAPTER in message.content]
    assert {tensors_of(each).num_bytes for each in [*sent, *returned]} == {counted.wire_bytes}
    # Nothing beside them: names, shapes and types take less than a hundred bytes a tensor.
    for each in [*sent, *returned]:
        names = list(tensors_of(each))
        assert sum(len(array.data) for array in each.values()) <= counted.wire_bytes + 200 * len(names)
        assert not [name for name in names if "lora_" not in name and not name.startswith("head.")]
    assert record["bytes_up"] == 2 * 2 * counted.wire_bytes  # rounds x clinics; training only
    assert (
        record["bytes_down"] == (2 * 2 + 2 + 2) * counted.wire_bytes
    )  # training, the last validation, the test evaluation
    assert all(entry["message_bytes_up"] > entry["bytes_up"] for entry in record["rounds"])


def test_validation_rides_with_the_next_rounds_training(run_locally: Any, world: Any) -> None:
    steady = [
        *world.overrides,
        "training.schedule=constant",
        "training.warmup=0",
    ]  # a round does not know how many follow
    one, _ = run_locally([*steady, "rounds=1"])
    three, grid = run_locally([*steady, "rounds=3"])
    evaluated = [{**record["rounds"][0]["validation"], "interval": None} for record in (one, three)]
    evaluated = [{**each, "by_language": languages(each, "f1")} for each in evaluated]
    assert evaluated[0] == evaluated[1]
    assert languages(three["rounds"][1]["validation"], "f1") != evaluated[0]["by_language"]
    kinds = [message.metadata.message_type for message in grid.sent]
    assert (
        kinds == ["query.hello"] * 2 + ["train"] * 2 * 3 + ["evaluate"] * 2 * 2
    )  # the last validation, the test evaluation


def languages(evaluated: Any, key: str) -> dict[str, Any]:
    return {language: each[key] for language, each in evaluated["by_language"].items()}


def test_what_the_last_validation_found_is_not_predicted_again_for_the_join(
    run_locally: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        predicted.append(1)
        return predict(*args, **options)

    monkeypatch.setattr("clinfed.training.predict.predict", counted)
    kept, _ = run_locally([*world.overrides, "rounds=2"])
    assert len(predicted) == 2 * 2 + 2, "two validations and one test at two clinics"
    with monkeypatch.context() as patch:
        patch.setattr(
            "clinfed.clinic.cache.WorkerCache.validated",
            property(lambda self: {}, lambda self, value: None),
            raising=False,
        )
        again, _ = run_locally([*world.overrides, "rounds=2"])
    assert len(predicted) == 6 + 8
    assert kept["test"]["joined"] == again["test"]["joined"]


@pytest.mark.filterwarnings("ignore:adapter=lokr")  # which the clinics, in this process too, do not pass on
def test_a_saturated_rank_is_told_to_whoever_started_the_run(
    run_locally: Any, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_locally(with_method(world, "lokr", "adapter.r=256", "rounds=1"))
    told = [line for line in capsys.readouterr().out.splitlines() if "warning: " in line]
    assert len(told) == 1
    assert told[0].startswith("clinfed | warning: adapter=lokr adapter.r=256: the rank is saturated")


def test_the_last_validation_alone_has_an_interval_that_its_counts_give_again(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, "rounds=3"])
    *before, last = [entry["validation"] for entry in record["rounds"]]
    for early in before:
        assert early["interval"] is None
        assert set(languages(early, "interval").values()) == {None}
    low, high = last["interval"]
    assert low <= last["micro"]["f1"] <= high
    counts = read_counts(record["folder"] / VALIDATION_COUNTS)
    assert {key: evaluation(clinics) for key, clinics in counts.items()} == {("federated", "all"): last}


def test_a_clinic_that_only_validates_is_evaluated_each_round(run_locally: Any, world: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for language in ("ca", "es"):
        rows = [json.loads(line) for line in world.site_notes(language).read_text("utf-8").splitlines()]
        kept = [
            row for row in rows if language == "ca" or split_of(Note(row["id"], "", patient=row["patient"])) != "train"
        ]
        (notes / f"{language}.jsonl").write_text("\n".join(map(json.dumps, kept)), "utf-8")
    record, _ = run_locally([*world.overrides, f"corpus.path={notes}"])
    for entry in record["rounds"]:
        assert [*entry["clinics"]] == ["ca"]
        assert [*entry["validation"]["by_clinic"]] == ["ca", "es"]


def test_nothing_is_trained_where_nobody_holds_a_test_note(run_locally: Any, world: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in world.site_notes("ca").read_text("utf-8").splitlines()]
    kept = [row for row in rows if split_of(Note(row["id"], "", patient=row["patient"])) != "test"]
    (tmp_path / "ca.jsonl").write_text("\n".join(map(json.dumps, kept)), "utf-8")
    with pytest.raises(UserError, match="no clinic holds a test note; the result is evaluated on test notes"):
        run_locally([*world.overrides, f"corpus.path={tmp_path}"])


def test_clinics_without_notes_sit_out(run_locally: Any, world: Any) -> None:
    record, grid = run_locally([*world.overrides, "partition=pooled", "rounds=1"], nodes=3)
    assert list(record["rounds"][0]["clinics"]) == ["pooled"]
    assert {message.metadata.dst_node_id for message in grid.sent if message.metadata.message_type == "train"} == {100}


def test_counts_of_two_clinics_are_those_of_one(run_locally: Any, world: Any) -> None:
    # The lexicon does not depend on training: evaluated in two clinics or in one, its merged counts are the same.
    two, _ = run_locally([*world.overrides, "rounds=1"])
    one, _ = run_locally([*world.overrides, "rounds=1", "partition=pooled"])
    evaluated = [record["test"]["pooled_lexicon"]["all"] for record in (two, one)]
    assert {**evaluated[0], "by_clinic": 0} == {**evaluated[1], "by_clinic": 0}
    assert sum(clinic["tp"] for clinic in evaluated[0]["by_clinic"].values()) == evaluated[1]["micro"]["tp"]


def test_the_saved_adapter_is_the_one_of_the_record(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, "rounds=1"])
    assert load_state(record["folder"] / "adapter").sha256() == record["adapter_sha256"]


def test_the_record_can_be_printed_and_summed_up(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, "rounds=1"])
    wanted = {"micro_f1", "macro_f1", "by_language", "lexicon_micro_f1", "local_lexicon_micro_f1", "adapter_sha256"}
    wanted |= {"base_loads", "workers", "bytes_up", "bytes_down", "seconds", "rounds", "record"}
    assert wanted <= summary(record, "record.json").keys()
    assert set(record["manifest"]) == {"ca", "es"}
    assert record["probes"]["training_peak_bytes"] > 0
    assert {"start", "load", "train", "serialise", "aggregate", "evaluate"} <= record["seconds_split"].keys()


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux tells the processor's model there")
def test_the_record_says_which_processor_it_was_measured_on() -> None:
    processor = machine(1, "cpu")["processor"]
    assert f"model name\t: {processor}\n" in Path("/proc/cpuinfo").read_text() or platform.machine() != "x86_64"


def _meta(run: Any, num_codes: int) -> tuple[Any, Any]:
    """Return encoder with adapter, and head, without numbers."""
    import torch

    with torch.device("meta"):
        encoder = run.adapter.attach(meta_encoder(run.base))
        return encoder, run.task.head(encoder.config.hidden_size, num_codes)


def test_the_coordinator_evaluates_its_own_public_set_each_round(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, f"central.notes={world.site_notes('ca')}"])
    supports = [entry["public"]["micro"]["tp"] + entry["public"]["micro"]["fn"] for entry in record["rounds"]]
    assert supports == [16 * 5, 16 * 5]  # one mention a note, all splits: the set is the coordinator's own
    assert record["rounds"][1]["public"]["by_language"].keys() == {"ca"}


def test_the_public_set_is_evaluated_where_the_clinics_evaluate(run_locally: Any, world: Any) -> None:
    public = [*world.overrides, f"central.notes={world.site_notes('ca')}", "training.learning_rate=0"]
    record, _ = run_locally([*public, "rounds=12", "rounds_per_epoch=2", "stop.patience=1"])
    assert [round_index for round_index, entry in enumerate(record["rounds"], 1) if "public" in entry] == [2, 4, 5]
    assert [entry["round"] for entry in record["rounds"] if entry["validation"]] == [2, 4, 5]  # the run's last too


def test_a_federation_refuses_to_leave_training_notes_out(run_locally: Any, world: Any) -> None:
    with pytest.raises(UserError, match=r"only\.\*: chooses notes for `clinfed train`"):
        run_locally([*world.overrides, "only.share=0.5"])


def test_every_score_of_a_record_can_be_had_again_from_its_counts(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, "rounds=1"])
    counts = read_counts(record["folder"] / COUNTS)
    again = {(system, gold): evaluation(clinics) for (system, gold), clinics in counts.items()}
    assert again == {(system, gold): each for system, golds in record["test"].items() for gold, each in golds.items()}


def test_a_simulation_without_a_policy_says_so_once(
    world: Any, run_locally: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_locally([*world.overrides, "rounds=1"])
    assert capsys.readouterr().out.count("clinfed | no policy: simulated clinics") == 1
