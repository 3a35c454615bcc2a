"""Who takes part in a round, what a failed or late clinic changes, and when a run ends."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.app.error import Error

from clinfed.adapters.folder import load_state
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from clinfed.protocol import IDENTITY
from configs import load
from server.participation import quorum, sample_clients
from server.wire.asked import ClinicHandle
from strategies.base import ServerState
from strategies.fedavg import FedAvg

LIGHT = ("partition=iid", "training.batch_notes=32")


def of(clinic: str, kind: str, change: Callable[[Message], Message | None], group: str = "") -> Callable[..., Any]:
    """Return a tamper that changes one clinic's answers to one kind of question, of one round if it is given."""

    def tamper(asked: str, reply: Message) -> Message | None:
        of_round = not group or reply.metadata.group_id == group
        return change(reply) if asked == kind and of_round and reply.content[IDENTITY]["clinic"] == clinic else reply

    return tamper


def crashed(reply: Message) -> Message:
    return Message(Error(102, "MemoryError"), reply_to=reply)


def named(entries: list[dict[str, str]]) -> dict[str, str]:
    return {each["clinic"]: each["reason"] for each in entries}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(crashed, "train failed with MemoryError (code 102)"), (lambda reply: None, "no answer in time")],
    ids=["fails", "is late"],
)
def test_a_clinic_that_fails_or_is_late_misses_its_round_and_is_named(
    run_locally: Any, world: Any, change: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*world.overrides, "round.deadline_s=0.01"]
    record, _ = run_locally(overrides, tamper=of("ca", "train", change, group="1"))
    first, second = record["rounds"]
    assert [*first["clinics"]] == ["es"]
    assert named(first["refused"])["ca"].startswith(reason)
    assert [*second["clinics"]] == ["ca", "es"]
    assert second["refused"] == []
    printed = capsys.readouterr().out
    assert f"clinfed | round 1 | clinic ca left out: {reason}" in printed
    assert "| without ca |" in printed


def test_a_round_in_which_all_fail_stops_the_run_and_names_the_codes(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        return crashed(reply) if kind == "train" else reply

    with pytest.raises(UserError, match=r"round 1: 0 clinics .* quorum is 1: clinic ca: .*code 102.*clinic es: .*102"):
        run_locally(world.overrides, tamper=tamper)


def test_a_round_below_its_quorum_stops_the_run(run_locally: Any, world: Any) -> None:
    with pytest.raises(
        UserError, match="round 2: 1 clinics gave an accepted answer, the quorum is 2: clinic ca: train"
    ):
        run_locally([*world.overrides, "round.quorum=1"], tamper=of("ca", "train", crashed, group="2"))


def test_a_clinic_that_fails_the_test_is_named_and_the_others_are_evaluated(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        test_evaluation = kind == "evaluate" and reply.content[IDENTITY]["clinic"] == "es"
        return crashed(reply) if test_evaluation else reply

    record, _ = run_locally([*world.overrides, "rounds=1"], tamper=tamper)
    assert list(named(record["test_refused"])) == ["es"]
    assert [*record["test"]["federated"]["all"]["by_clinic"]] == ["ca"]


@pytest.mark.parametrize(
    ("clinics", "fraction", "share", "needed"),
    [(3, 1.0, 0.5, 2), (2, 1.0, 0.5, 1), (5, 1.0, 1.0, 5), (4, 0.5, 0.5, 1), (1, 1.0, 0.0, 1), (100, 0.07, 1.0, 7)],
)
def test_a_quorum_is_a_share_of_the_clinics_drawn(clinics: int, fraction: float, share: float, needed: int) -> None:
    run = load([f"round.fraction={fraction}", f"round.quorum={share}"])
    assert quorum(run, clinics) == needed  # 0.07 * 100 is 7.000000000000001, and yet 7 clinics


def test_a_draw_follows_from_seed_round_and_name_alone() -> None:
    run, other = (load(["round.fraction=0.5", f"seed={seed}"]) for seed in (0, 1))
    handles = [ClinicHandle(f"clinic-{place}", node) for place, node in enumerate((70, 30, 50, 10, 90, 20))]
    moved = [ClinicHandle(handle.clinic, handle.node + 1000) for handle in reversed(handles)]
    draws = [
        [handle.clinic for handle in sample_clients(handles, run, round_index, of=6)] for round_index in range(1, 9)
    ]
    assert draws == [
        [handle.clinic for handle in sample_clients(moved, run, round_index, of=6)] for round_index in range(1, 9)
    ]
    assert {len(draw) for draw in draws} == {3}
    assert {clinic for draw in draws for clinic in draw} == {handle.clinic for handle in handles}
    assert draws != [
        [handle.clinic for handle in sample_clients(handles, other, round_index, of=6)] for round_index in range(1, 9)
    ]


def test_only_the_clinics_drawn_train_and_all_validate(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, *LIGHT, "round.fraction=0.5", "rounds=3"], nodes=4)
    trained = [tuple(entry["clinics"]) for entry in record["rounds"]]
    assert {len(each) for each in trained} == {2}
    assert len(set(trained)) > 1
    evaluated = {tuple(entry["validation"]["by_clinic"]) for entry in record["rounds"]}
    assert [len(each) for each in evaluated] == [3], "those that hold validation notes, drawn or not"


def test_a_run_ends_when_validation_gets_no_better(
    run_locally: Any, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    still = [*world.overrides, "training.learning_rate=0", "rounds=6"]  # every round is as good as the first
    record, _ = run_locally([*still, "stop.patience=1"])
    # Round 2 is no better than 1, which is known once round 3 has been trained: validation rides with training.
    assert [entry["round"] for entry in record["rounds"]] == [1, 2, 3]
    assert record["ended_early"]
    assert record["best_round"] == 1
    assert "no better round in 1; evaluating on test" in capsys.readouterr().out


def test_of_the_rounds_of_an_epoch_the_last_is_validated(run_locally: Any, world: Any, tmp_path: Path) -> None:
    spread = [*world.overrides, "rounds_per_epoch=2"]
    for drawn_only, nodes in (("round.fraction=1", 2), ("round.fraction=0.5", 4)):  # those not drawn validate as well
        some = [*spread, *LIGHT, "rounds=4", drawn_only]
        record, _ = run_locally(some, nodes=nodes, output=tmp_path / drawn_only)
        assert [entry["validation"] is None for entry in record["rounds"]] == [True, False, True, False]
    still = [*spread, "training.learning_rate=0", "rounds=12", "stop.patience=1"]
    record, _ = run_locally(still, output=tmp_path / "still")
    assert [entry["round"] for entry in record["rounds"]] == [1, 2, 3, 4, 5]  # 4 is no better than 2
    assert record["best_round"] == 2


def test_the_best_round_is_kept_beside_the_last(run_locally: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate = FedAvg.aggregate

    def forgetting(strategy: FedAvg, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        # The last round forgets all that was trained, so that it is not the best, whatever processor this is.
        done = aggregate(strategy, server, updates)
        zeros = {name: np.zeros_like(array) for name, array in done.adapter.items()}
        return replace(done, adapter=AdapterState(zeros)) if done.round == 4 else done

    monkeypatch.setattr(FedAvg, "aggregate", forgetting)
    wild = [*world.overrides, "rounds=4"]
    last, _ = run_locally(wild)
    f1 = [entry["validation"]["micro"]["f1"] for entry in last["rounds"]]
    assert last["best_round"] == 1 + f1.index(max(f1)) != 4, f1
    assert (last["chosen_round"], last["chosen_by"]) == (4, "last round")
    best, _ = run_locally([*wild, "chosen=best"])
    assert (best["chosen_round"], best["chosen_by"]) == (last["best_round"], "best validation micro-F1")
    assert load_state(best["folder"] / "adapter").sha256() == best["adapter_sha256"]
    assert load_state(last["folder"] / "best").sha256() == best["adapter_sha256"] != last["adapter_sha256"]


def test_too_few_supernodes_end_the_wait_with_what_to_do(run_locally: Any, world: Any) -> None:
    with pytest.raises(UserError, match=r"2 SuperNode\(s\) connected after 0 s, the run needs 3; start the others"):
        run_locally([*world.overrides, "clinics=3", "wait_for_clients.wait_s=0"])


def test_the_first_node_that_is_greeted_may_hold_no_notes(run_locally: Any, world: Any) -> None:
    # Node 200 stands for the first of three, which gets all notes; the others are greeted before it.
    record, _ = run_locally([*world.overrides, "partition=pooled", "rounds=1"], nodes=3, first=[101, 102, 200])
    assert [*record["rounds"][0]["clinics"]] == ["pooled"]


LATE = (
    *LIGHT,
    "rounds=3",
    "wait_for_clients.minimum=2",
    "wait_for_clients.wait_s=0",
)  # three clinics, of which two are there at first


def third_comes_in_round_1(grid: Any, message: Message) -> None:
    if message.metadata.message_type == "train":
        grid.nodes = [100, 101, 102]


def test_a_clinic_that_comes_late_is_greeted_and_takes_part(run_locally: Any, world: Any) -> None:
    overrides = [*world.overrides, *LATE]
    record, _ = run_locally(overrides, nodes=3, first=[100, 101], watch=third_comes_in_round_1)
    assert [len(entry["clinics"]) for entry in record["rounds"]] == [2, 3, 3]
    assert [len(entry["joined"]) for entry in record["rounds"]] == [0, 1, 0]
    assert len(record["manifest"]) == 3


def test_a_late_clinic_with_other_code_stays_outside(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "query.hello" and reply.metadata.src_node_id == 102:
            reply.content[IDENTITY]["fingerprint.code"] = "f" * 64
        return reply

    overrides = [*world.overrides, *LATE]
    record, grid = run_locally(overrides, nodes=3, first=[100, 101], watch=third_comes_in_round_1, tamper=tamper)
    assert [len(entry["clinics"]) for entry in record["rounds"]] == [2, 2, 2]
    assert ["fingerprint of code is ffff" in str(entry["refused"]) for entry in record["rounds"]] == [
        False,
        True,
        False,
    ]
    asked = [each.metadata.message_type for each in grid.sent if each.metadata.dst_node_id == 102]
    assert asked == ["query.hello"]


def test_a_refused_clinic_that_connects_anew_is_greeted_anew(run_locally: Any, world: Any) -> None:
    greeted = []

    def watch(grid: Any, message: Message) -> None:
        if message.metadata.message_type == "train":
            grid.nodes = [100, 101] if message.metadata.group_id == "2" else [100, 101, 102]

    def tamper(kind: str, reply: Message) -> Message:
        if kind == "query.hello" and reply.metadata.src_node_id == 102:
            greeted.append(reply)
            if len(greeted) == 1:
                reply.content[IDENTITY]["fingerprint.base"] = "f" * 64
        return reply

    overrides = [*world.overrides, *LIGHT, "rounds=4", "wait_for_clients.minimum=2", "wait_for_clients.wait_s=0"]
    record, _ = run_locally(overrides, nodes=3, first=[100, 101], watch=watch, tamper=tamper)
    assert [len(entry["clinics"]) for entry in record["rounds"]] == [2, 2, 2, 3]
    assert len(greeted) == 2


def test_a_clinic_that_comes_back_as_another_node_takes_its_place_again(run_locally: Any, world: Any) -> None:
    def watch(grid: Any, message: Message) -> None:
        if message.metadata.message_type == "train":
            # In round 1 it comes back while its old node still counts as connected; that one goes in round 2.
            grid.nodes = {"1": [100, 101, 201], "2": [100, 201]}.get(message.metadata.group_id, grid.nodes)

    record, grid = run_locally([*world.overrides, "rounds=4"], watch=watch)
    asked = [(each.metadata.group_id, each.metadata.dst_node_id) for each in grid.sent]
    trained = {group: sorted(node for each, node in asked if each == group) for group in "1234"}
    assert trained["2"] == [100, 101], "two nodes of one name: the one that was there first"
    assert trained["3"] == [100, 201]
    assert [entry["joined"] for entry in record["rounds"]] == [[], [], ["es"], []]
    assert [len(entry["clinics"]) for entry in record["rounds"]] == [2, 2, 2, 2]
