"""Answers that must be refused: each attack is one change to an honest clinic's reply."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.error import Error

from clinfed.errors import UserError
from clinfed.protocol import ADAPTER, IDENTITY, REPORT, TENSOR_KIND

Change = Callable[[RecordDict], None]


def array(values: np.ndarray) -> Array:
    return Array("<f4", values.shape, TENSOR_KIND, values.astype("<f4").tobytes())


def first_name(content: RecordDict) -> str:
    return sorted(content[ADAPTER])[0]


def nan(content: RecordDict) -> None:
    name = first_name(content)
    shape = content[ADAPTER][name].shape
    content[ADAPTER][name] = array(np.full(shape, np.nan))


def broadcastable(content: RecordDict) -> None:
    name = first_name(content)
    content[ADAPTER][name] = array(np.ones((1, content[ADAPTER][name].shape[1])))


def missing(content: RecordDict) -> None:
    del content[ADAPTER][first_name(content)]


def added(content: RecordDict) -> None:
    content[ADAPTER]["encoder.layers.0.weight"] = array(np.ones((2, 2)))


def half_precision(content: RecordDict) -> None:
    name = first_name(content)
    old = content[ADAPTER][name]
    content[ADAPTER][name] = Array("<f2", old.shape, TENSOR_KIND, old.data[: len(old.data) // 2])


def too_few_bytes(content: RecordDict) -> None:
    name = first_name(content)
    old = content[ADAPTER][name]
    content[ADAPTER][name] = Array(old.dtype, old.shape, old.stype, old.data[:-4])


def no_notes(content: RecordDict) -> None:
    content[REPORT]["num_examples"] = 0


def half_a_note(content: RecordDict) -> None:
    content[REPORT]["num_examples"] = 0.5


def other_clinic(content: RecordDict) -> None:
    content[IDENTITY]["clinic"] = "es" if content[IDENTITY]["clinic"] == "ca" else "ca"


def other_code(content: RecordDict) -> None:
    content[IDENTITY]["code"] = "0" * 64


def other_wire(content: RecordDict) -> None:
    content[IDENTITY]["wire"] = 99


def no_adapter(content: RecordDict) -> None:
    content[ADAPTER] = ConfigRecord()


ATTACKS: dict[Change, str] = {
    nan: "not finite",
    broadcastable: r"has shape and dtype \(\(1,",
    missing: "is missing",
    added: "not expected",
    half_precision: "<f2",
    too_few_bytes: "bytes, expected",
    no_notes: "num_examples",
    half_a_note: "num_examples",
    other_clinic: "has clinic 'es', the server expects 'ca'",
    other_code: "both sides must run the same code",
    other_wire: "has wire '99', the server expects '1'",
    no_adapter: "update refused",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_wrong_answer_ends_the_run_and_names_the_clinic(run_locally: Any, world: Any, attack: Change) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "train" and reply.content[IDENTITY]["clinic"] == "ca":
            attack(reply.content)
        return reply

    with pytest.raises(UserError, match=ATTACKS[attack]) as refusal:
        run_locally([*world.overrides, "rounds=1"], tamper=tamper)
    assert str(refusal.value).startswith("clinic ca: ")
    assert "\n" not in str(refusal.value)


def test_an_update_of_zeros_is_accepted(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "train":
            zeros = {name: array(np.zeros(each.shape)) for name, each in reply.content[ADAPTER].items()}
            reply.content[ADAPTER] = ArrayRecord(zeros)
        return reply

    record, _ = run_locally([*world.overrides, "rounds=1"], tamper=tamper)
    assert record["test"]["federated"]["all"]["micro"]["tp"] == 0


def test_a_reason_that_flower_wrote_is_not_repeated(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        error = Error(2, "<class 'ValueError'>:<'Pacient canarytext amb asma'>")
        return Message(error, reply_to=reply) if kind == "train" else reply

    with pytest.raises(UserError, match="error that is not named here") as refusal:
        run_locally(world.overrides, tamper=tamper)
    assert "canarytext" not in str(refusal.value)


@pytest.mark.parametrize("name", ["base", "tokenizer", "labels", "adapter", "quantisation", "code", "wire"])
def test_a_clinic_with_another_fingerprint_is_refused_before_training(run_locally: Any, world: Any, name: str) -> None:
    kinds = []

    def tamper(kind: str, reply: Message) -> Message:
        kinds.append(kind)
        if reply.content[IDENTITY]["clinic"] == "es":
            reply.content[IDENTITY][f"fingerprint.{name}"] = "f" * 64
        return reply

    with pytest.raises(UserError, match=f"clinic es: fingerprint of {name} is f{{16}}, the server's is ") as refusal:
        run_locally(world.overrides, tamper=tamper)
    assert set(kinds) == {"query.hello"}
    assert "\n" not in str(refusal.value)


def test_a_lost_site_is_named_without_flowers_own_words(run_locally: Any, world: Any) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        return Message(Error(5, "Node Unavailable: canarytext"), reply_to=reply) if kind == "train" else reply

    with pytest.raises(UserError, match="quorum is 1: clinic ca: its SuperNode is gone") as refusal:
        run_locally(world.overrides, tamper=tamper)
    assert "canarytext" not in str(refusal.value)
