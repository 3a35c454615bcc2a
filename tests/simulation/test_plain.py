"""The main job by plain `flwr run`, as a user types it."""

from pathlib import Path
from typing import Any

import pytest

from tests.simulation.searching import found

pytestmark = pytest.mark.simulation


def test_plain_flwr_run_gives_the_adapter_of_one_process(plain: Any, world: Any, run_locally: Any) -> None:
    local, _ = run_locally(world.overrides)
    assert plain.record["adapter_sha256"] == local["adapter_sha256"]


def test_plain_flwr_run_prints_where_the_record_is(plain: Any) -> None:
    marked = [line for line in plain.out.splitlines() if line.startswith("clinfed | ")]
    assert marked[-1].startswith("clinfed | run record: /")


def test_a_run_writes_and_prints_no_word_of_a_note(plain: Any, world: Any) -> None:
    assert found(plain, world.canaries) == []


def test_the_clinics_folder_is_closed_to_others(plain: Any) -> None:
    assert (plain.home / "clinic").stat().st_mode & 0o077 == 0


@pytest.mark.soak
def test_eight_supernodes_are_four_clinics_of_each_language(world: Any, flwr: Any) -> None:
    done = flwr("d", [*world.overrides, "rounds=1"], federation="num-supernodes=8 client-resources-num-cpus=1")
    clinics = done.record["manifest"]
    assert sorted(clinics) == [f"{language}-{number}" for language in ("ca", "es") for number in (1, 2, 3, 4)]
    assert all(set(held["languages"]) == {name[:2]} for name, held in clinics.items())
    patients = [patient for held in clinics.values() for patient in held["patients"]]
    assert len(patients) == len(set(patients)) == 32


@pytest.mark.soak
def test_foreign_code_on_the_path_ends_the_run_with_one_line(world: Any, flwr: Any, foreign: Path) -> None:
    done = flwr("e", world.overrides, cwd=foreign)
    errors = [line for line in done.out.splitlines() if line.startswith("clinfed | error: ")]
    assert len(errors) == 1
    assert "foreign code on the path" in errors[0]
    assert str(foreign / "server") in errors[0]
    assert "/flwr/apps/" in errors[0]
    assert not list(done.home.glob("runs/*/record.json"))
