"""What a site's ledger admits, refuses and remembers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import clinfed.clinic.cache
from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.weights import read_state
from clinfed.clinic import answers
from clinfed.clinic import chain as chain_module
from clinfed.clinic.ledger import Asked, Ledger, Origin, refuse_unknown, settings_of
from clinfed.refusals import RefusedError
from clinfed.runs.backend import Failed
from configs import load

RUN, OTHER_RUN = 32 * "a", 32 * "b"
TRAIN = Asked("north", RUN, protocol.TRAIN, 1, "validation", "adapter-1", "settings-1", 32 * "1")
TEST = Asked("north", RUN, protocol.EVALUATE, 4, "test", "adapter-4", "settings-1", 32 * "2")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def nonce(number: int) -> str:
    return f"{number:032x}"


def test_a_resumed_run_may_ask_again_and_is_counted_once(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    ledger.admit(replace(TRAIN, nonce=nonce(3)))
    assert [line["repeated"] for line in ledger.lines()] == [False, True]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"adapter": "adapter-2"}, "again in round 1, with another adapter"),
        ({"settings": "settings-2"}, "other settings than this run began with"),
        ({"nonce": TRAIN.nonce}, "a nonce that was used before"),
        ({"round_index": 2, "settings": "settings-2"}, "other settings than this run began with"),
        ({"run": "a" * 31}, "without a run key and a nonce of 32 hexadecimal digits"),
    ],
)
def test_a_question_comes_back_only_as_it_was(ledger: Ledger, change: dict[str, Any], found: str) -> None:
    ledger.admit(TRAIN)
    with pytest.raises(RefusedError, match=found) as caught:
        ledger.admit(replace(TRAIN, **{"nonce": nonce(3), **change}))
    assert caught.value.setting == "ledger"
    assert len(ledger.lines()) == 1


def test_rounds_runs_and_clinics_are_apart(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    ledger.admit(replace(TRAIN, round_index=2, adapter="adapter-2", nonce=nonce(3)))
    ledger.admit(replace(TRAIN, run=OTHER_RUN, adapter="adapter-3", settings="settings-2", nonce=nonce(4)))
    ledger.admit(replace(TRAIN, clinic="south", adapter="adapter-5", settings="settings-3"))
    assert not any(line["repeated"] for line in ledger.lines())


def test_a_run_has_one_test_evaluation_whatever_round_it_names(ledger: Ledger) -> None:
    ledger.admit(TEST)
    with pytest.raises(RefusedError, match="another adapter"):
        ledger.admit(replace(TEST, round_index=3, adapter="adapter-3", nonce=nonce(3)))


def test_a_round_trains_one_adapter_whether_or_not_it_is_validated(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    with pytest.raises(RefusedError, match="another adapter"):
        ledger.admit(replace(TRAIN, split="", adapter="adapter-2", nonce=nonce(3)))
    ledger.admit(replace(TRAIN, split="", nonce=nonce(4)))


def test_replicates_are_drawn_of_one_validated_adapter_a_run(ledger: Ledger) -> None:
    first = replace(TRAIN, kind=protocol.EVALUATE, replicates=True)
    ledger.admit(first)
    ledger.admit(replace(first, round_index=2, adapter="adapter-2", replicates=False, nonce=nonce(3)))
    with pytest.raises(RefusedError, match="another adapter"):
        ledger.admit(replace(first, round_index=3, adapter="adapter-3", nonce=nonce(4)))


def test_the_policy_caps_test_evaluations_across_runs(ledger: Ledger) -> None:
    ledger.admit(TEST, most_tests=2)
    ledger.admit(replace(TEST, run=OTHER_RUN, nonce=nonce(3)), most_tests=2)
    ledger.admit(replace(TEST, nonce=nonce(4)), most_tests=2)  # a resumed run asks again
    with pytest.raises(RefusedError, match="test evaluation 3; the policy allows 2"):
        ledger.admit(replace(TEST, run=32 * "c", nonce=nonce(5)), most_tests=2)


def test_what_leaves_is_written_down(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    ledger.answered(TRAIN, tensor_bytes=100, counts=7)
    last = ledger.lines()[-1]
    assert (last["what"], last["tensor_bytes"], last["counts"], last["nonce"]) == ("answer", 100, 7, TRAIN.nonce)


def test_a_line_that_was_changed_or_taken_out_is_named(ledger: Ledger) -> None:
    for number in range(3):
        ledger.admit(replace(TRAIN, round_index=number + 1, nonce=nonce(number)))
    lines = ledger.path.read_text().splitlines(keepends=True)
    for damaged in (
        lines[0] + lines[2],
        lines[0] + lines[1].replace('"round_index": 2', '"round_index": 1') + lines[2],
    ):
        ledger.path.write_text(damaged)
        with pytest.raises(RefusedError, match=r"ledger\.jsonl:2: this line was changed"):
            ledger.admit(replace(TRAIN, round_index=9, nonce=nonce(9)))


def test_lines_taken_from_the_end_are_missed(ledger: Ledger) -> None:
    for number in range(3):
        ledger.admit(replace(TRAIN, round_index=number + 1, nonce=nonce(number)))
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join(lines[:2]))
    for ask in (ledger.verify, lambda: ledger.admit(replace(TRAIN, round_index=9, nonce=nonce(9)))):
        with pytest.raises(RefusedError, match=r"ledger\.jsonl:3: this line was changed or taken out"):
            ask()


@pytest.mark.parametrize("damage", ["", "no database" * 1000])
def test_an_index_that_is_lost_or_damaged_is_made_anew(ledger: Ledger, damage: str) -> None:
    ledger.admit(TRAIN)
    index = ledger.path.with_suffix(".index")
    index.write_text(damage)
    with pytest.raises(RefusedError, match="a nonce that was used before"):
        ledger.admit(TRAIN)
    ledger.admit(replace(TRAIN, nonce=nonce(3)))
    assert [line["repeated"] for line in ledger.lines()] == [False, True]


def test_a_ledger_without_its_index_is_verified_whole(ledger: Ledger) -> None:
    for number in range(3):
        ledger.admit(replace(TRAIN, round_index=number + 1, nonce=nonce(number)))
    ledger.path.with_suffix(".index").unlink()
    ledger.path.write_text(ledger.path.read_text().replace('"round_index": 1', '"round_index": 4'))
    with pytest.raises(RefusedError, match=r"ledger\.jsonl:1: this line was changed"):
        ledger.admit(replace(TRAIN, round_index=9, run=OTHER_RUN, nonce=nonce(9)))


def test_a_long_ledger_answers_as_fast_as_a_short_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2,000 lines it reads those of its run, and the last one: counted, as a clock would depend on the machine."""
    with ledger.chain.held() as chain:
        monkeypatch.setattr("os.fsync", lambda _: None)
        for number in range(2000):
            chain.append({"what": "question", "clinic": "north", "run": f"{number:032x}", "nonce": nonce(number)})
    read: list[bytes] = []
    whole = chain_module.checked
    monkeypatch.setattr(chain_module, "checked", lambda text, last: read.append(text) or whole(text, last))
    ledger.admit(replace(TRAIN, nonce=nonce(5000)))
    ledger.admit(replace(TRAIN, nonce=nonce(5001)))
    assert len(read) < 20


def test_a_line_that_a_kill_has_cut_off_costs_no_other(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:40])
    ledger.admit(replace(TRAIN, round_index=2, nonce=nonce(3)))
    assert [line["round_index"] for line in ledger.lines()] == [1, 2]
    assert all(json.loads(line) for line in ledger.path.read_text().splitlines())


def test_the_ledger_is_for_its_own_account_only(ledger: Ledger) -> None:
    ledger.admit(TRAIN)
    assert ledger.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (protocol.EVALUATE, {"split": "train", "test_evaluation": False, "replicates": False}),
        (protocol.TRAIN, {"round": -7}),
        (protocol.TRAIN, {"round": 0}),
        (protocol.TRAIN, {"round": 5}),
        (protocol.TRAIN, {"split": "test"}),
        (protocol.TRAIN, {"split": "train"}),
        (protocol.EVALUATE, {"split": "test"}),  # replicates of each round would tell more than one's
        (protocol.EVALUATE, {"split": "validation", "test_evaluation": True}),
        (protocol.EVALUATE, {"split": ""}),
    ],
)
def test_what_no_run_asks_is_refused(kind: str, change: dict[str, Any]) -> None:
    question = {"round": 1, "split": "validation", "test_evaluation": False, "replicates": False}
    refuse_unknown(kind, question, rounds=4)
    with pytest.raises(RefusedError, match=r"no run asks|expected 1 to 4"):
        refuse_unknown(kind, question | change, rounds=4)


def test_settings_of_a_resumed_run_are_those_of_the_first() -> None:
    first = settings_of(load(["rounds=2", "corpus.patients=24"]))
    again = ["rounds=2", "corpus.patients=24", "wait_for_clients.wait_s=9", "round.deadline_s=9"]
    assert settings_of(load(again)) == first
    assert settings_of(load(["rounds=2", "corpus.patients=24", "adapter=full"])) != first


@pytest.fixture
def ask_site(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that asks a real site to evaluate the first adapter, in this process."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)
    node_config = {"notes": str(world.site_notes("ca")), "labels": str(world.labels), "name": "north"}

    def ask(kind: str = protocol.EVALUATE, **change: Any) -> Any:
        cache = clinfed.clinic.cache.worker_cache(world.site_overrides)
        tagger = cache.tagger(len(cache.clinic(node_config).codes))
        question = {"round": 1, "split": "validation", "test_evaluation": False, "replicates": False}
        question |= {"wire": WIRE_VERSION, "nonce": nonce(1), protocol.RUN_KEY: RUN, **change}
        content = {protocol.ADAPTER: answers._write_adapter(read_state(tagger)), protocol.QUESTION: question}
        origin = Origin(7, "rounds=1", "a person")
        return answers.answer(kind, content, node_config, world.site_overrides, "", origin)

    ask.overrides = world.site_overrides  # type: ignore[attr-defined]
    yield ask
    answers.forget()


def test_a_real_site_answers_a_question_once_and_refuses_what_no_run_asks(ask_site: Any, tmp_path: Path) -> None:
    assert not isinstance(ask_site(), Failed)
    for change in ({}, {"split": "train", "nonce": nonce(2)}, {"round": -7, "nonce": nonce(3)}):
        assert ask_site(**change) == Failed(int(protocol.Failure.REFUSED), "ledger")
    question, answer, *refusals = Ledger(tmp_path / "clinic" / "ledger" / "ledger.jsonl").lines()
    assert (question["what"], question["split"], answer["what"]) == ("question", "validation", "answer")
    assert (question["flower_run"], question["started_by"], question["overrides"]) == (7, "a person", "rounds=1")
    assert answer["counts"] > 0
    assert answer["figures"]["notes"] > 0
    assert [(line["what"], line["setting"], line["round"]) for line in refusals] == [
        ("refusal", "ledger", "1"),
        ("refusal", "ledger", "1"),
        ("refusal", "ledger", "-7"),
    ]


def test_a_hello_is_written_down_with_what_was_asked_and_sent(ask_site: Any, tmp_path: Path) -> None:
    said = ask_site(kind=protocol.HELLO)
    assert not isinstance(said, Failed)
    question, answer = Ledger(tmp_path / "clinic" / "ledger" / "ledger.jsonl").lines()
    assert (question["kind"], question["run"], question["overrides"]) == (protocol.HELLO, "", "rounds=1")
    assert question["settings"] == settings_of(load(ask_site.overrides))
    assert answer["identity"] == said[protocol.IDENTITY]
    assert answer["figures"]["train_notes"] > 0
    assert ask_site(kind=protocol.HELLO) == Failed(int(protocol.Failure.REFUSED), "ledger")  # the same nonce
