"""A clinic's state on its own disk: private, whole or not at all, of one run, and only as long as it is needed."""

import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.clinic import states
from clinfed.clinic.states import Place
from clinfed.errors import UserError
from strategies.base import ClientState

RUN, OTHER_RUN = 32 * "a", 32 * "b"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    return tmp_path / "clinic" / "state"


def state(value: float, round_index: int) -> ClientState:
    tensors = {"head.b": np.full(3, value, np.float32), "encoder.a": np.array(value, np.float32)}
    return ClientState({"control": AdapterState(tensors)}, round_index)


def place(clinic: str = "north/../ñ", run: str = RUN, fingerprint: str = "f" * 64) -> Place:
    return Place(run, clinic, fingerprint)


def value_of(loaded: ClientState | None) -> float | None:
    return loaded and float(loaded.memory["control"]["encoder.a"])


def test_a_state_comes_back_as_it_was_written() -> None:
    states.save(place(), state(7.0, 3), before=0)
    loaded = states.load(place(), 3)
    assert loaded is not None
    assert loaded.round == 3
    assert loaded.memory["control"].sha256() == state(7.0, 3).memory["control"].sha256()


def test_only_the_clinics_own_account_can_read_it(home: Path) -> None:
    previous = os.umask(0)
    states.save(place(), state(7.0, 3), before=0)
    os.umask(previous)
    [file] = home.glob("*/*")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, file.parent, file)] == [0o700, 0o700, 0o600]


def test_the_one_that_a_round_began_with_and_the_one_that_it_wrote_are_kept(home: Path) -> None:
    for index, before in ((1, 0), (2, 1), (3, 1), (5, 3)):  # the coordinator has not accepted the update of round 2
        states.save(place(), state(float(index), index), before=before)
        states.save(place("south"), state(-1.0, 1), before=0)
    found = [value_of(states.load(place(), index)) for index in range(1, 6)]
    assert found == [None, None, 3.0, None, 5.0]
    assert value_of(states.load(place("south"), 1)) == -1.0
    assert len([*home.glob("*/*")]) == 3


def test_a_round_that_is_done_again_overwrites_what_it_wrote() -> None:
    states.save(place(), state(1.0, 1), before=0)
    states.save(place(), state(2.0, 2), before=1)
    states.save(place(), state(2.5, 2), before=1)
    assert [value_of(states.load(place(), index)) for index in (1, 2)] == [1.0, 2.5]


def test_what_a_killed_process_has_left_is_never_read_and_goes_with_the_next(home: Path) -> None:
    states.save(place(), state(1.0, 1), before=0)
    half = place().path(2).with_suffix(".99999")
    half.write_bytes(b"half")
    assert states.load(place(), 2) is None
    states.save(place(), state(2.0, 2), before=1)
    assert sorted(path.suffix for path in home.glob("*/*")) == [".safetensors", ".safetensors"]


def test_a_state_of_another_run_is_not_found() -> None:
    states.save(place(), state(1.0, 1), before=0)
    assert states.load(place(run=OTHER_RUN), 1) is None
    assert states.load(place("south"), 1) is None


def test_a_state_of_other_settings_is_refused_with_both_fingerprints() -> None:
    states.save(place(), state(1.0, 1), before=0)
    with pytest.raises(UserError, match="to another run: its fingerprint is ffffffffffffffff, this run's eeeeeeee"):
        states.load(place(fingerprint="e" * 64), 1)


@pytest.mark.parametrize("content", [b"", b"\x80\x05.", b"\xff" * 80])
def test_a_damaged_state_is_refused_in_one_line(content: bytes) -> None:
    states.save(place(), state(1.0, 1), before=0)
    place().path(1).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged state; remove it, and the clinic starts with a new one") as refusal:
        states.load(place(), 1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("key", ["", "../" * 10 + "aa", "A" * 32, 31 * "a", 32 * "a" + "\n"])
def test_a_run_key_that_is_no_folders_name_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="run's key is not 32 hexadecimal digits"):
        place(run=key)


def test_states_of_runs_that_have_long_ended_go_with_the_first_of_a_new_one(home: Path) -> None:
    states.save(place(), state(1.0, 1), before=0)
    old = time.time() - states.UNUSED_S - 10
    os.utime(home / RUN, (old, old))
    states.save(place(run=OTHER_RUN), state(1.0, 1), before=0)
    assert [path.name for path in home.iterdir()] == [OTHER_RUN]
