"""A run that was interrupted goes on as if nothing had happened; a checkpoint is there whole or not at all."""

import json
import random
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from clinfed.runs import checkpoints
from clinfed.runs.checkpoints import Checkpoint, refuse_other_settings
from clinfed.runs.state import Best, Round, RunState
from configs import load, resolved
from strategies.base import ServerState

# Where the server dies: which question's answers it is reading, and how many of them it has read before.
PLACES = {"in round 2": ("train", 2), "in the last validation": ("evaluate", 1), "in the test": ("evaluate", 2)}


class KilledError(Exception):
    """Ends the run as a kill would: nothing of it is caught."""


# What depends on the machine, the process and the backend, each of which writes messages in its own way.
TIMED = ("seconds", "peak_bytes", "message_bytes_up", "message_bytes_down")


def history(record: dict[str, Any]) -> list[Any]:
    """Return the rounds without what the clock and the worker processes say."""
    return [untimed(entry) for entry in record["rounds"]]


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in TIMED and not key.endswith("_s")}
    return value


@pytest.fixture
def overrides(world: Any) -> list[str]:
    return [*world.overrides, "rounds=3", "strategy=fedadam", "chosen=best"]  # moments and a best round to remember


def test_a_resumed_run_ends_as_the_undisturbed_one(run_locally: Any, overrides: list[str], tmp_path: Path) -> None:
    whole, _ = run_locally(overrides)
    for place in PLACES:
        output = tmp_path / place.replace(" ", "-")
        with pytest.raises(KilledError):
            run_locally(overrides, tamper=killing(*PLACES[place]), output=output)
        [folder] = output.iterdir()
        resumed, _ = run_locally([*overrides, f"resume={folder}"], output=output)
        assert resumed["folder"] == folder
        assert resumed["adapter_sha256"] == whole["adapter_sha256"], place
        assert history(resumed) == history(whole), place
        assert resumed["test"] == whole["test"]
        assert (resumed["best_round"], resumed["chosen_round"]) == (whole["best_round"], whole["chosen_round"])
        assert resumed["resumed_after"] == [1 if place == "in round 2" else 3]
    with pytest.raises(UserError, match="this run is complete"):
        run_locally([*overrides, f"resume={folder}"], output=output)


def killing(kind: str, after: int) -> Any:
    """Return a tamper that ends the run when so many answers of a kind have been read."""
    read = 0

    def tamper(asked: str, reply: Message) -> Message:
        nonlocal read
        read += asked == kind
        if read > after:
            raise KilledError
        return reply

    return tamper


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("training.learning_rate=0.5", "resume: training.learning_rate is 0.5 now and 0.00"),
        ("rounds=4", "resume: rounds is 4 now and 3 in the checkpoint"),
        ("strategy=fedavg", "resume: strategy is fedavg now and fedadam in the checkpoint"),
    ],
)
def test_a_resumed_run_with_another_setting_is_refused_by_name(
    run_locally: Any, overrides: list[str], interrupted: Path, other: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_locally([*overrides, other, f"resume={interrupted}"], output=interrupted.parent)


def test_a_resumed_run_may_find_its_list_of_codes_elsewhere(tmp_path: Path) -> None:
    given = ["corpus=jsonl", f"corpus.path={tmp_path}"]
    now, saved = (resolved(load([*given, f"corpus.labels=/{folder}/codes.json"])) for folder in ("new", "old"))
    refuse_other_settings(now, saved)
    elsewhere = resolved(load(["corpus=jsonl", "corpus.path=/other", "corpus.labels=/new/codes.json"]))
    with pytest.raises(UserError, match=re.escape("resume: corpus.path is /other now")):
        refuse_other_settings(elsewhere, saved)


@pytest.fixture
def interrupted(run_locally: Any, overrides: list[str], tmp_path: Path) -> Path:
    """Return the folder of a run that was killed in its second round."""
    with pytest.raises(KilledError):
        run_locally(overrides, tamper=killing(*PLACES["in round 2"]), output=tmp_path / "killed")
    [folder] = (tmp_path / "killed").iterdir()
    return folder


def test_how_long_a_resumed_run_waits_may_change(run_locally: Any, overrides: list[str], interrupted: Path) -> None:
    waiting = ["round.deadline_s=60", "round.quorum=1", "wait_for_clients.wait_s=5"]
    record, _ = run_locally([*overrides, *waiting, f"resume={interrupted}"], output=interrupted.parent)
    assert len(record["rounds"]) == 3


def test_a_checkpoint_of_other_code_is_refused(run_locally: Any, overrides: list[str], interrupted: Path) -> None:
    [path] = interrupted.glob("state/round-*/state.json")
    described = json.loads(path.read_text("utf-8"))
    described["fingerprints"]["code"] = "f" * 64
    path.write_text(json.dumps(described), "utf-8")
    with pytest.raises(UserError, match="in the checkpoint, the fingerprint of code is ffffffffffffffff, the server's"):
        run_locally([*overrides, f"resume={interrupted}"], output=interrupted.parent)


def test_a_run_that_is_still_going_on_is_not_resumed(run_locally: Any, overrides: list[str], interrupted: Path) -> None:
    with checkpoints.held(interrupted / "state"), pytest.raises(UserError, match="this run is still in progress"):
        run_locally([*overrides, f"resume={interrupted}"], output=interrupted.parent)


SERVER = """
import sys
from clinfed.backends.local import LocalBackend
from configs import load
from server.coordinator import coordinate
coordinate(LocalBackend(sys.argv[1:], 2), load(sys.argv[1:]))
"""


@pytest.mark.soak
def test_a_process_killed_again_and_again_ends_as_the_undisturbed_one(
    run_locally: Any, overrides: list[str], tmp_path: Path
) -> None:
    overrides = [*overrides, "rounds=16"]  # a round takes a fifth of a second
    whole, _ = run_locally(overrides)
    rng, output = random.Random(3), tmp_path / "killed"
    command = [sys.executable, "-c", SERVER]
    command += [*overrides, f"output={output}"]
    for _ in range(2):  # killed after a round, resumed and killed after another
        round_index = max((int(path.name.removeprefix("round-")) for path in rounds_in(output, 0)), default=0) + 1
        resume = [f"resume={folder}" for folder in output.glob("*")]
        with subprocess.Popen([*command, *resume], cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
            while not (kept := rounds_in(output, round_index)) and server.poll() is None:
                threading.Event().wait(0.01)
            threading.Event().wait(rng.uniform(0, 0.3))
            server.kill()
        assert kept
    [folder] = output.iterdir()
    resumed, _ = run_locally([*overrides, f"resume={folder}"], output=output)
    assert resumed["adapter_sha256"] == whole["adapter_sha256"]
    assert history(resumed) == history(whole)
    assert len(resumed["resumed_after"]) == 2


def rounds_in(output: Path, least: int) -> list[Path]:
    """Return the checkpoints of a round, or of a later one."""
    return [path for path in output.glob("*/state/round-*") if int(path.name.removeprefix("round-")) >= least]


def checkpoint(round_index: int) -> Checkpoint:
    """Return a checkpoint whose every tensor holds its round."""
    state = AdapterState({f"head.{name}": np.full((64, 64), round_index, np.float32) for name in "abcd"})
    server = ServerState(state, {"first_moment": state}, round_index)
    return Checkpoint(
        RunState(server, Round(round_index, 1.0, [], []), Best(round_index, 0.5, state)), {"rounds": 9}, {}, {}
    )


WRITER = """
import sys
from itertools import count
from dataclasses import replace
from pathlib import Path
from tests_server_checkpoints import checkpoint
from clinfed.runs import checkpoints
for number in count(1):
    checkpoints.save(Path(sys.argv[1]), checkpoint(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    (tmp_path / "tests_server_checkpoints.py").write_text(Path(__file__).read_text("utf-8"), "utf-8")
    paths = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[2])!r}]"
    command = [sys.executable, "-c", paths + WRITER, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        written = [int(writer.stdout.readline()) for _ in range(rng.randint(1, 4))][-1]
        threading.Event().wait(rng.uniform(0, 0.02))  # somewhere in the next checkpoint, or the one after
        writer.kill()
        written = max([written, *map(int, writer.stdout.read().split())])
    run_state = checkpoints.load(tmp_path / "state").run_state
    round_index = run_state.server.round
    assert round_index in (written, written + 1)  # the kill may fall between the rename and the print
    assert hashes(run_state) == hashes(checkpoint(round_index).run_state)
    checkpoints.save(tmp_path / "state", checkpoint(round_index + 1))  # over what the killed writer has left
    assert [path.name for path in (tmp_path / "state").iterdir()] == [f"round-{round_index + 1:04d}"]


def hashes(run_state: RunState) -> list[str]:
    assert run_state.best
    states = (run_state.server.adapter, run_state.server.memory["first_moment"], run_state.best.adapter)
    return [state.sha256() for state in states]


@pytest.mark.parametrize("damage", ["tensors", "state", "cut"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    folder = checkpoints.save(tmp_path, checkpoint(3))
    path = folder / ("state.json" if damage == "state" else "adapter.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-5] if damage == "cut" else content[:-1] + b"\x01")
    with pytest.raises(UserError, match=r"round-0003: damaged checkpoint \(\w+\); start the run anew") as refusal:
        checkpoints.load(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("named", ["{run}", "{run}/state", "{run}/record.json", "/elsewhere/{id}"])
def test_a_run_is_found_by_its_folder_its_state_its_record_or_its_id(tmp_path: Path, named: str) -> None:
    run = tmp_path / "runs" / "20260101T000000-abc"
    checkpoints.save(run / "state", checkpoint(1))
    assert checkpoints.find(Path(named.format(run=run, id=run.name)), tmp_path / "runs") == run


def test_a_run_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resume=/nowhere/none: no run to resume; give its folder or its id"):
        checkpoints.find(Path("/nowhere/none"), tmp_path)


def test_a_checkpoint_keeps_the_runs_key_and_whose_updates_were_used(tmp_path: Path) -> None:
    saved = checkpoint(3)
    run_state = replace(saved.run_state, run_key=32 * "a", accepted={"north": 3, "south": 1})
    checkpoints.save(tmp_path, replace(saved, run_state=run_state))
    loaded = checkpoints.load(tmp_path).run_state
    assert (loaded.run_key, loaded.accepted) == (32 * "a", {"north": 3, "south": 1})


def test_a_checkpoint_of_a_version_without_client_states_gets_a_key(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, checkpoint(3)) / checkpoints.STATE
    described = json.loads(path.read_text("utf-8"))
    del described["run_key"], described["accepted"]
    path.write_text(json.dumps(described), "utf-8")
    loaded = checkpoints.load(tmp_path).run_state
    assert len(loaded.run_key) == 32
    assert loaded.accepted == {}
