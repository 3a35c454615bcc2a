"""Clinics without an answer: silent until the deadline, or failed, which is told in words of ours."""

import re
import time
from typing import Any

import pytest
from flwr.app import Message
from flwr.app.error import Error
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed.backends.flower import FlowerBackend
from clinfed.protocol import IDENTITY, BadAnswerError, Reason, Refused
from server.wire.asked import Asked

LIAR = "clinic-3"
HONEST = ("clinic-1", "clinic-2", "clinic-4", "clinic-5")


def test_clinics_that_never_answer_are_left_out_after_one_deadline(table: Any) -> None:
    def lost(kind: str, reply: Message) -> Message | None:
        return None if kind == "train" and reply.content[IDENTITY]["clinic"] in HONEST[:3] else reply

    started = time.monotonic()
    done = table.train(lost, deadline_s=1.0)
    assert done.refused == [Refused(clinic, str(Reason.LATE)) for clinic in HONEST[:3]]
    assert time.monotonic() - started < 3.0  # not one deadline each


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Error(102, "ValueError"), r"train failed with ValueError \(code 102\); the details stay there"),
        (Error(102, "canarytext"), "train failed with an error that is not named here"),
        (Error(102, "CanarytextError\n"), "train failed with an error that is not named here"),
        (Error(2, "<class 'ValueError'>:<'Pacient canarytext amb asma'>"), "failed outside its own code with an error"),
        (Error(5, "Node Unavailable: canarytext"), r"its SuperNode is gone \(Flower's code 5\); look at that machine"),
        (Error(-(10**6), "x" * 10**6), "failed outside its own code with an error that is not named here"),
    ],
)
def test_a_clinic_that_fails_is_left_out_in_words_of_ours(table: Any, error: Error, reason: str) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        return (
            Message(error, reply_to=reply) if reply.content[IDENTITY]["clinic"] == LIAR and kind == "train" else reply
        )

    [refused] = table.train(tamper).refused
    assert re.match(reason, refused.reason)
    assert refused.clinic == LIAR
    assert "canary" not in refused.reason.lower()
    assert len(refused.reason) < 200


@pytest.mark.parametrize("over_http", [True, False])
def test_it_looks_four_times_a_second_where_each_look_is_a_request(
    table: Any, monkeypatch: pytest.MonkeyPatch, over_http: bool
) -> None:
    exchange, looks, pauses = table.exchange(lambda kind, reply: reply), iter([None, None]), []
    exchange.backend = FlowerBackend(HttpGrid(token="t")) if over_http else exchange.backend

    def pull(*_: Any, **__: Any) -> None:
        try:
            return next(looks)
        except StopIteration:
            raise BadAnswerError(Reason.LOST) from None

    monkeypatch.setattr("clinfed.backends.flower.pull", pull)
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(BadAnswerError):
        exchange._reply("m1", Asked((), (), "", time.monotonic() + 60, 1, 1))
    assert pauses == [0.25 if over_http else 0.02] * 2
