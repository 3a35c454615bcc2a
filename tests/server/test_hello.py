"""Hellos that must end a run before anything is trained: another fingerprint, or one that is not built as agreed."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Message, RecordDict

from clinfed.errors import UserError
from clinfed.protocol import HELLO, IDENTITY, REPORT

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
        hello(IDENTITY, "lost", "[" * 100_000),
        hello(IDENTITY, "skipped", "1" * 10_000),
        hello(IDENTITY, "lost", '{"train": 1}'),
        hello(IDENTITY, "worker", "canarytext"),
        hello(IDENTITY, "clinic", "canary\ntext"),
        hello(IDENTITY, "clinic", 3),
        hello(IDENTITY, "manifest", '{"notes": {"canarytext": 1}}'),
        hello(IDENTITY, "manifest", '{"patients": ["canarytext"]}'),
        hello(IDENTITY, "skipped", '{"a\\nb": 1}'),
    ],
    ids=lambda attack: attack.__name__,
)
def test_a_malformed_hello_ends_in_one_line_before_anything_is_trained(table: Any, attack: Change) -> None:
    with pytest.raises(UserError) as refusal:
        table.gather(lie(attack))
    assert "\n" not in str(refusal.value)
    assert "canary" not in str(refusal.value)
