"""Hellos that must end a run before anything is trained: another fingerprint, or one that is not built as agreed."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed.errors import UserError
from clinfed.protocol import HELLO, HELLO_REPORT, IDENTITY, REPORT, BadAnswerError
from server.coordinator import describe
from server.wire.hello import check_figures

ESCAPE = "\x1b[2J"  # clears the screen that it is printed on
Change = Callable[[RecordDict], None]
LIAR = "clinic-3"


def lie(attack: Change) -> Any:
    """Return what changes one clinic's hello."""

    def tamper(kind: str, reply: Message) -> Message:
        if kind == HELLO and reply.content[IDENTITY]["clinic"] == LIAR:
            attack(reply.content)
        return reply

    return tamper


def no_identity(content: RecordDict) -> None:
    del content[IDENTITY]


@pytest.mark.parametrize("name", ["base", "tokenizer", "labels", "adapter", "quantisation", "code", "wire"])
def test_a_clinic_with_another_fingerprint_is_refused_before_training(table: Any, name: str) -> None:
    def other(content: RecordDict) -> None:
        content[IDENTITY][f"fingerprint.{name}"] = "f" * 64

    said = f"clinic {LIAR}: fingerprint of {name} is f{{16}}, the server's is "
    with pytest.raises(UserError, match=said) as refusal:
        table.gather(lie(other))
    assert "\n" not in str(refusal.value)


def hello(record: str, name: str, value: object) -> Change:
    def change(content: RecordDict) -> None:
        content[record][name] = value  # type: ignore[index]

    change.__name__ = f"{name}_{value!r}"[:30]
    return change


@pytest.mark.parametrize(
    "attack",
    [
        no_identity,
        hello(IDENTITY, "nonce", "0" * 32),
        hello(REPORT, "train_notes", -1),
        hello(REPORT, "nodes", float("inf")),
        hello(REPORT, "canarytext", 1),
        hello(IDENTITY, "manifest", "canarytext"),
        hello(IDENTITY, "unrepresentable", "[" * 100_000),
        hello(IDENTITY, "skipped", "1" * 10_000),
        hello(IDENTITY, "unrepresentable", '{"train": 1}'),
        hello(IDENTITY, "worker", "canarytext"),
        hello(IDENTITY, "clinic", "canary\ntext"),
        hello(IDENTITY, "clinic", 3),
        hello(IDENTITY, "manifest", '{"notes": {"canarytext": 1}}'),
        hello(IDENTITY, "manifest", '{"patients": ["canarytext"]}'),
        hello(IDENTITY, "skipped", '{"a\\nb": 1}'),
        hello(IDENTITY, "fingerprint.code", f"{ESCAPE}canary"),
        hello(IDENTITY, "fingerprint.quantisation", "canary"),
        hello(IDENTITY, "fingerprint.wire", 3),
        hello(REPORT, "train_windows", 10**6),
    ],
    ids=lambda attack: attack.__name__,
)
def test_a_malformed_hello_ends_in_one_line_before_anything_is_trained(table: Any, attack: Change) -> None:
    with pytest.raises(UserError) as refusal:
        table.gather(lie(attack))
    assert "\n" not in str(refusal.value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("over_http", [True, False])
def test_where_a_real_site_keeps_its_code_is_never_shown(
    table: Any, monkeypatch: pytest.MonkeyPatch, over_http: bool
) -> None:
    def elsewhere(content: RecordDict) -> None:
        content[IDENTITY]["fingerprint.code"] = "f" * 64
        content[IDENTITY]["roots"] = f"/{ESCAPE}elsewhere"

    monkeypatch.setattr("clinfed.backends.flower.HttpGrid", Grid if over_http else HttpGrid)
    with pytest.raises(UserError) as refusal:
        table.gather(lie(elsewhere))
    assert ("elsewhere" in str(refusal.value)) != over_http
    assert ("fingerprint of code is ffff" in str(refusal.value)) == over_http


def test_a_thousand_windows_of_each_training_note_are_the_most_that_can_be() -> None:
    none = dict.fromkeys(HELLO_REPORT, 0)
    check_figures({**none, "train_notes": 3, "train_windows": 3000})
    check_figures(none)
    with pytest.raises(BadAnswerError):
        check_figures({**none, "train_notes": 3, "train_windows": 3001})


def test_the_first_line_of_a_run_shows_each_clinics_notes_and_windows(table: Any) -> None:
    line = describe(table.federation)
    for handle in table.federation.handles:
        notes, windows = handle.registered["train_notes"], handle.registered["train_windows"]
        assert f"{handle.clinic} {notes} in {windows} windows" in line


def without_mentions(*clinics: str) -> Any:
    """Return what takes the training mentions out of the hellos of these clinics."""

    def tamper(kind: str, reply: Message) -> Message:
        if kind == HELLO and reply.content[IDENTITY]["clinic"] in clinics:
            reply.content[REPORT]["train_mentions"] = 0
            reply.content[IDENTITY]["unrepresentable"] = "{}"
            reply.content[IDENTITY]["skipped"] = '{"unknown field label (ignored; did you mean spans?)": 4}'
        return reply

    return tamper


def test_a_federation_without_a_mention_is_refused_by_name_before_training(table: Any) -> None:
    names = [handle.clinic for handle in table.federation.handles]
    with pytest.raises(UserError, match=r"no mention to learn from: clinic-1 \(.*clinic-5 \(") as refusal:
        table.gather(without_mentions(*names))
    assert "4 unknown field label (ignored; did you mean spans?)" in str(refusal.value)


def test_one_clinic_without_a_mention_is_told_by_name_and_trains(table: Any) -> None:
    federation = table.gather(without_mentions(LIAR))
    assert [said.split(" (")[0] for said in federation.without_mentions()] == [LIAR]
    assert LIAR in [handle.clinic for handle in federation.with_notes("train")]


def test_mentions_that_tags_cannot_hold_are_none_to_learn_from(table: Any) -> None:
    def unrepresentable(kind: str, reply: Message) -> Message:
        if kind == HELLO:
            mentions = reply.content[REPORT]["train_mentions"]
            reply.content[IDENTITY]["unrepresentable"] = f'{{"train": {{"limits inside a word": {mentions}}}}}'
        return reply

    with pytest.raises(UserError, match="mentions, none that tags and the shared codes can hold"):
        table.gather(unrepresentable)


def test_honest_clinics_all_have_mentions(table: Any) -> None:
    assert table.federation.without_mentions() == []
