"""SCAFFOLD in a federation: states of clinics survive every kill, and what a liar adds is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, Message, RecordDict
from safetensors.numpy import load, save

from clinfed.home import clinic_folder
from clinfed.protocol import ADAPTER, IDENTITY, STATE_ROUND, TENSORS, TENSORS_KIND, Reason


class KilledError(Exception):
    """Ends the run as a kill would: nothing of it is caught."""


@pytest.fixture
def overrides(world: Any) -> list[str]:
    recipe = ["training.optimiser=sgd", "training.learning_rate=0.2", "training.head_factor=1"]
    return [*world.overrides, "strategy=scaffold", *recipe, "rounds=4"]


def kill_at(kind: str, count: int) -> Callable[[str, Message], Message]:
    """Return a tamper that ends the run once so many answers of a kind have been written, before any is read."""
    seen = 0

    def tamper(asked: str, reply: Message) -> Message:
        nonlocal seen
        seen += asked == kind
        if asked == kind and seen == count:
            raise KilledError
        return reply

    return tamper


# Two clinics: answers 3 and 4 are those of round 2. After the first of them one clinic has written and one has not;
# after the second both have, and the coordinator's checkpoint is still that of round 1.
SOAKED = pytest.mark.soak


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([1], marks=SOAKED),
        [3],
        pytest.param([4], marks=SOAKED),
        [5, 2],
        pytest.param([3, 1, 2], marks=SOAKED),
    ],
)
def test_a_run_killed_between_a_clinics_write_and_the_checkpoint_ends_as_the_undisturbed_one(
    run_locally: Any, overrides: list[str], tmp_path: Path, counts: list[int]
) -> None:
    whole, _ = run_locally(overrides)
    output, resume = tmp_path / "killed", list[str]()
    for count in counts:
        with pytest.raises(KilledError):
            run_locally([*overrides, *resume], tamper=kill_at("train", count), output=output)
        [folder] = output.iterdir()
        resume = [f"resume={folder}"] if list(folder.glob("state/round-*")) else []
        if not resume:
            folder.rename(tmp_path / f"given-up-{count}")  # before its first round is over a run starts anew
    resumed, _ = run_locally([*overrides, *resume], output=output)
    assert resumed["adapter_sha256"] == whole["adapter_sha256"]


def test_without_its_states_a_resumed_run_would_end_elsewhere(
    run_locally: Any, overrides: list[str], tmp_path: Path
) -> None:
    whole, _ = run_locally(overrides)
    with pytest.raises(KilledError):
        run_locally(overrides, tamper=kill_at("train", 4), output=tmp_path / "killed")
    [folder] = (tmp_path / "killed").iterdir()
    lost = [path for path in clinic_folder("state").glob("*/*") if path.stem.endswith("-000001")]
    assert len(lost) == 2  # of the killed run alone: that which is whole keeps its last two
    for path in lost:
        path.unlink()
    resumed, _ = run_locally([*overrides, f"resume={folder}"], output=folder.parent)
    assert resumed["adapter_sha256"] != whole["adapter_sha256"]


def test_a_clinic_begins_with_the_state_of_its_last_update_that_was_used(
    run_locally: Any, overrides: list[str]
) -> None:
    """Clinic ca's second update is refused; its third round begins with the state of its first."""
    seen = 0

    def tamper(kind: str, reply: Message) -> Message:
        nonlocal seen
        if kind == "train" and reply.content[IDENTITY]["clinic"] == "ca":
            seen += 1
            if seen == 2:
                reply.content[IDENTITY]["nonce"] = "0"
        return reply

    record, grid = run_locally(overrides, tamper=tamper)
    assert [[*entry["clinics"]] for entry in record["rounds"]] == [["ca", "es"], ["es"], ["ca", "es"], ["ca", "es"]]
    asked: dict[int, list[int]] = {}
    for message in grid.sent:
        if message.metadata.message_type == "train":
            asked.setdefault(message.metadata.dst_node_id, []).append(message.content["question"][STATE_ROUND])
    assert sorted(asked.values()) == [[0, 1, 1, 3], [0, 1, 2, 3]]


def test_states_follow_who_is_drawn(run_locally: Any, overrides: list[str]) -> None:
    first, grid = run_locally([*overrides, "round.fraction=0.5", "rounds=6"])
    again, _ = run_locally([*overrides, "round.fraction=0.5", "rounds=6"])
    last: dict[int, int] = {}
    for message in grid.sent:
        if message.metadata.message_type == "train":
            question, node = message.content["question"], message.metadata.dst_node_id
            assert question[STATE_ROUND] == last.get(node, 0)
            last[node] = question["round"]
    assert len(last) == 2
    assert first["adapter_sha256"] == again["adapter_sha256"]


def test_control_variates_change_what_comes_out_and_double_what_travels(run_locally: Any, overrides: list[str]) -> None:
    scaffold, _ = run_locally(overrides)
    fedavg, _ = run_locally([*overrides, "strategy=fedavg"])
    assert scaffold["adapter_sha256"] != fedavg["adapter_sha256"]
    assert scaffold["bytes_up"] == 2 * fedavg["bytes_up"]
    losses = [entry["loss"] for entry in scaffold["rounds"]]
    assert losses[-1] < losses[0]


def with_control(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[RecordDict], None]:
    def attack(content: RecordDict) -> None:
        tensors = load(content[ADAPTER][TENSORS].data)
        first = min(name for name in tensors if name.startswith("extra.control."))
        data = save({**tensors, first: change(tensors[first])})
        content[ADAPTER][TENSORS] = Array("|u1", (len(data),), TENSORS_KIND, data)

    return attack


def without_control(content: RecordDict) -> None:
    tensors = load(content[ADAPTER][TENSORS].data)
    data = save({name: each for name, each in tensors.items() if not name.startswith("extra.")})
    content[ADAPTER][TENSORS] = Array("|u1", (len(data),), TENSORS_KIND, data)


ATTACKS = {
    "too large": (with_control(lambda values: values + 3), Reason.OUT_OF_LIMITS),
    "not a number": (with_control(lambda values: values * np.nan), Reason.NOT_FINITE),
    "another shape": (with_control(lambda values: values[:1]), Reason.SHAPE),
    "half precision": (with_control(lambda values: values.astype(np.float16)), Reason.TYPE),
    "missing": (without_control, Reason.NAMES),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_clinic_that_sends_another_control_variate_than_can_be_is_left_out(
    run_locally: Any, overrides: list[str], attack: str
) -> None:
    change, reason = ATTACKS[attack]

    def tamper(kind: str, reply: Message) -> Message:
        if kind == "train" and reply.content[IDENTITY]["clinic"] == "ca":
            change(reply.content)
        return reply

    record, _ = run_locally([*overrides, "rounds=2"], tamper=tamper)
    refused = [{"clinic": "ca", "reason": str(reason)}]
    assert [entry["refused"] for entry in record["rounds"]] == [refused, refused]


def test_a_masked_tensor_does_not_travel_up_and_keeps_its_numbers(run_locally: Any, world: Any) -> None:
    fedavg, _ = run_locally([*world.overrides, "strategy=fedavg"])
    ffa, grid = run_locally([*world.overrides, "strategy=ffa_lora"])
    up = [load(m.content[ADAPTER][TENSORS].data) for m in grid.received if ADAPTER in m.content]
    down = [load(m.content[ADAPTER][TENSORS].data) for m in grid.sent if ADAPTER in m.content]
    masked = {name for name in down[0] if ".lora_A." in name}
    assert masked
    assert {frozenset(tensors) for tensors in up} == {frozenset(down[0].keys() - masked)}
    assert all(np.array_equal(tensors[name], down[0][name]) for tensors in down for name in masked)
    assert ffa["bytes_up"] < fedavg["bytes_up"]
    assert ffa["bytes_down"] == fedavg["bytes_down"]
    losses = [entry["loss"] for entry in ffa["rounds"]]
    assert losses[-1] < losses[0]


def test_the_median_trains_in_a_federation(run_locally: Any, world: Any) -> None:
    record, _ = run_locally([*world.overrides, "strategy=median", "partition=iid", "rounds=3"], nodes=3)
    losses = [entry["loss"] for entry in record["rounds"]]
    assert losses[-1] < losses[0]


def test_a_mask_without_lora_is_refused_before_anything_is_trained(run_locally: Any, world: Any) -> None:
    without_rank = [each for each in world.overrides if not each.startswith("adapter.r=")]
    with pytest.raises(Exception, match="strategy=ffa_lora: the adapter has no LoRA A to freeze"):
        run_locally([*without_rank, "adapter=ia3", "strategy=ffa_lora"])
