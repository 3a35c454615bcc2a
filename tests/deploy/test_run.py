"""What run.sh checks at the coordinator before anything is uploaded, and what it makes of an interrupted run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clinfed.adapters.state import AdapterState
from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.experiments.deployed import Following, checked
from clinfed.home import runs_folder
from clinfed.runs import checkpoints, status
from clinfed.runs.checkpoints import Checkpoint
from clinfed.runs.state import RunState
from clinfed.runs.status import Status
from configs import refuse_at_site, resolved
from server.app import compose
from strategies.base import ServerState

RUN = "20261130T101500-0a1b2c3d"


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a coordinator's folder with two registered sites and a list of codes."""
    assert main(["deploy", "init", "--sites", "north,south", "--host", "127.0.0.1", "-o", str(tmp_path / "fed")]) == 0
    folder = tmp_path / "fed" / "coordinator"
    for site in ("north", "south"):
        (folder / "sites" / f"{site}.id").write_text("1\n", "utf-8")
    (folder / "codes.json").write_text(json.dumps(["I10", "J45.9"]), "utf-8")
    monkeypatch.setenv("CLINFED_HOME", str(folder / "state"))
    return folder


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("nonsense=1", "nonsense=1: no such key; groups: "),
        ("lr=0.1", "lr=0.1: no such key; did you mean training.learning_rate?"),
        ("rounds=0", "rounds=0: expected "),
        ("strategy=nope", "strategy=nope: no such option; choose one of "),
        ("corpus.path=/notes", "corpus.path=/notes: a clinic reads its own notes, "),
        ("only.clinic=north", "only.*: chooses notes for `clinfed train`; "),
        ("resume=nowhere", "resume=/elsewhere/nowhere: no run to resume; "),
    ],
)
def test_a_run_is_refused_before_anything_is_uploaded(
    coordinator: Path, capsys: pytest.CaptureFixture[str], typed: str, complaint: str
) -> None:
    assert main(["deploy", "run", str(coordinator), "--from", "/elsewhere", typed]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"clinfed deploy: {complaint}")
    assert printed.count("\n") == 1
    assert not (coordinator / "state" / "app").exists()


def test_a_new_run_waits_for_all_registered_sites_and_takes_the_shared_codes(coordinator: Path) -> None:
    labels = str(coordinator / "codes.json")
    assert checked(coordinator, ["rounds=3", "output=out"], Path("/there"), labels) == [
        "corpus=jsonl",
        "clinics=2",
        "rounds=3",
        "output=/there/out",
    ]
    assert checked(coordinator, ["clinics=1"], Path("/there"), labels) == ["corpus=jsonl", "clinics=1"]


def test_nobody_registered_is_said(coordinator: Path) -> None:
    for path in coordinator.glob("sites/*.id"):
        path.unlink()
    with pytest.raises(UserError, match=r"sites: no site is registered; \./register\.sh lets them in$"):
        checked(coordinator, [], Path("/"), "")


@pytest.fixture
def begun(coordinator: Path) -> list[str]:
    """Return the overrides of a run that was interrupted after its first round."""
    labels = str(coordinator / "codes.json")
    overrides = checked(coordinator, ["rounds=3", "experiment=", "adapter=loha", "strategy=fedprox"], Path("/"), labels)
    state = ServerState(AdapterState({}), round=1)
    saved = Checkpoint(RunState(state), resolved(compose(overrides, labels)), {}, {})
    checkpoints.save(runs_folder() / RUN / checkpoints.FOLDER, saved)
    return overrides


@pytest.mark.parametrize("named", [RUN, f"state/runs/{RUN}"])
def test_resume_alone_gives_the_overrides_of_the_run(coordinator: Path, begun: list[str], named: str) -> None:
    overrides = checked(coordinator, [f"resume={named}"], coordinator, str(coordinator / "codes.json"))
    assert overrides[-1] == f"resume={coordinator}/state/runs/{RUN}"
    assert sorted(overrides[:-1]) == sorted(each for each in begun if each != "experiment=")
    refuse_at_site(overrides)


def test_what_changes_no_result_may_differ_on_resuming_and_nothing_else(coordinator: Path, begun: list[str]) -> None:
    labels = str(coordinator / "codes.json")
    assert "round.quorum=0.3" in checked(coordinator, [f"resume={RUN}", "round.quorum=0.3"], Path("/"), labels)
    with pytest.raises(UserError, match="resume: rounds is 9 now and 3 in the checkpoint"):
        checked(coordinator, [f"resume={RUN}", "rounds=9"], Path("/"), labels)


def following(coordinator: Path, now: Status, *lines: str) -> Following:
    """Return a run that has begun, of which these lines have come."""
    following = Following(coordinator, coordinator / "state" / "status.json")
    status.write(following.path, now)
    following.run_id = "77"
    following.last += lines
    return following


def test_only_a_completed_run_with_a_record_ends_well(
    coordinator: Path, begun: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    on_the_way = Status(folder=f"{coordinator}/state/runs/{RUN}")
    complete = replace(on_the_way, record="/r/record.json")
    assert following(coordinator, complete).exit_code("finished:completed") == 0
    capsys.readouterr()
    assert following(coordinator, on_the_way, "Traceback").exit_code("finished:failed") == 1
    assert capsys.readouterr().err.splitlines() == [
        f"resume it with: ./run.sh resume={RUN}",
        "Traceback",
        "clinfed deploy: the run has no record (finished:failed); its log: ./flwr.sh log 77",
    ]
    lie = "clinfed | run record: /r/record.json"
    assert following(coordinator, on_the_way, lie).exit_code("finished:completed") == 1
    assert following(coordinator, complete).exit_code("finished:stopped") == 1


def test_the_servers_own_sentence_is_the_last(coordinator: Path) -> None:
    with pytest.raises(UserError, match=r"^two sites are missing$"):
        following(coordinator, Status(error="two sites are missing"), "Traceback").exit_code("finished:failed")


FLWR = """#!/bin/sh
case "$1" in
  run) echo '{ANSWER}' ;;
  log) echo "INFO: run $2"; echo 'clinfed | round 1' ;;
  list) echo '{{"runs": [{{"status": "finished:completed"}}]}}' ;;
esac
"""


@pytest.mark.parametrize(
    ("answer", "code", "shown"),
    [
        ('{"success": true, "run-id": "77"}', 0, ["run 77 has started; Ctrl-C leaves it running", "round 1"]),
        ('{"success": false, "error-message": "no SuperLink"}', 1, []),
        ("Successfully started run 77", 1, []),
    ],
)
def test_the_run_is_the_one_that_flower_names_in_json(
    coordinator: Path, capsys: pytest.CaptureFixture[str], answer: str, code: int, shown: list[str]
) -> None:
    (coordinator / "flwr.sh").write_text(FLWR.format(ANSWER=answer), "utf-8")
    lines: list[str] = []
    followed = Following(coordinator, coordinator / "state" / "status.json", lines.append)
    status.write(followed.path, Status(record="/r/record.json"))
    assert followed.to_the_end() == code
    assert lines == shown
    assert ("the run has no record (not started)" in capsys.readouterr().err) == (code == 1)
    assert not followed.path.exists()
