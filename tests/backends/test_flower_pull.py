"""Replies as Flower's objects: too large ones are refused before a copy is made, broken ones without an exception."""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.error import Error
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.backends import flower_pull
from clinfed.protocol import ADAPTER, COUNT_KIND, IDENTITY, BadAnswerError, Reason

MB = 2**20


@pytest.fixture(autouse=True, scope="module")
def _in_a_task() -> Iterator[None]:
    """Set what Flower asks of a process that makes messages."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("task_id", "run_id", "node_id"):
            patch.setattr(TaskIdentity, f"_{name}", 1)
        yield


def message(num_bytes: int, names: tuple[str, ...] = ("encoder.a",)) -> Message:
    zeros = Array("<f4", (num_bytes // 4,), COUNT_KIND, bytes(num_bytes))
    content = {ADAPTER: ArrayRecord(dict.fromkeys(names, zeros)), IDENTITY: ConfigRecord({"clinic": "ca"})}
    made = Message(RecordDict(content), 1, "train")
    made.metadata.__dict__["_message_id"] = made.object_id
    return made


def objects(made: Message) -> dict[str, bytes]:
    return {name: each.deflate() for name, each in get_all_nested_objects(made).items()}


def test_repeated_parts_count_as_often_as_they_would_be_copied() -> None:
    made = message(64 * MB)
    contents = objects(made)
    assert sum(map(len, contents.values())) < 10 * MB  # what travels
    assert flower_pull.measured(made.object_id, contents).all_bytes >= 64 * MB


def test_a_tensor_under_many_names_counts_under_each() -> None:
    made = message(MB, tuple(f"encoder.{number}" for number in range(100)))
    assert flower_pull.measured(made.object_id, objects(made)).all_bytes >= 100 * MB


def test_a_reply_that_would_grow_is_refused_before_it_takes_memory() -> None:
    made = message(64 * MB)
    head, contents = made.object_id, objects(made)
    tracemalloc.start()
    with pytest.raises(BadAnswerError, match=Reason.OVERSIZED):
        flower_pull.inflated(head, contents, 32 * MB)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 12 * MB  # never the 64


def test_a_reply_within_the_limit_arrives_whole() -> None:
    made = message(6 * MB)
    arrived = flower_pull.inflated(made.object_id, objects(made), 32 * MB)
    assert arrived.content[ADAPTER]["encoder.a"].data == bytes(6 * MB)
    assert arrived.content[IDENTITY]["clinic"] == "ca"


def test_one_empty_tensor_under_countless_names_is_refused_before_it_is_inflated() -> None:
    made = message(0, tuple(f"encoder.{number}" for number in range(1500)))
    contents = objects(made)
    assert sum(map(len, contents.values())) < MB
    with pytest.raises(BadAnswerError, match=Reason.OVERSIZED):
        flower_pull.inflated(made.object_id, contents, 32 * MB)
    longer = message(0, tuple(f"encoder.{number}" for number in range(10**4)))
    with pytest.raises(BadAnswerError, match=Reason.MALFORMED):  # the list of names alone is too long
        flower_pull.inflated(longer.object_id, objects(longer), 32 * MB)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({str(number): 0 for number in range(513)}, Reason.MALFORMED),
        ({str(number): 0 for number in range(512)}, None),
        ({"a": "\n" * (8 * MB)}, Reason.OVERSIZED),
        ({"a": "\n" * (7 * MB)}, None),
    ],
    ids=["entries", "as_many_as_may_be", "text", "as_long_as_may_be"],
)
def test_texts_and_numbers_are_counted_before_they_are_parsed(texts: dict[str, Any], reason: Reason | None) -> None:
    made = Message(RecordDict({IDENTITY: ConfigRecord(texts)}), 1, "train")
    made.metadata.__dict__["_message_id"] = made.object_id
    if reason is None:
        assert flower_pull.inflated(made.object_id, objects(made), 32 * MB).content[IDENTITY] == texts
    else:
        with pytest.raises(BadAnswerError, match=reason):
            flower_pull.inflated(made.object_id, objects(made), 32 * MB)


def test_fetching_stops_where_too_much_has_come() -> None:
    made = message(64)
    fetched = []

    def fetch(name: str) -> bytes:
        fetched.append(name)
        return bytes(3 * MB)

    with pytest.raises(BadAnswerError, match=Reason.OVERSIZED):
        flower_pull._contents(get_object_tree(made), fetch, 5 * MB, time.monotonic() + 60)
    assert len(fetched) < 6


def test_a_reply_of_countless_tiny_parts_is_not_fetched_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_pull, "MOST_OBJECTS", 4)
    tree = get_object_tree(message(64, tuple(f"encoder.{number}" for number in range(3))))
    with pytest.raises(BadAnswerError, match=Reason.OVERSIZED):
        flower_pull._contents(tree, lambda name: pytest.fail("fetched"), 1024, time.monotonic() + 60)


def test_parts_that_never_come_are_not_waited_for_beyond_the_deadline() -> None:
    def fetch(name: str) -> bytes:
        raise ObjectUnavailableError(name)

    started = time.monotonic()
    with pytest.raises(BadAnswerError, match=f"{Reason.LATE}|{Reason.LOST}"):
        flower_pull._contents(get_object_tree(message(64)), fetch, MB, started + 0.5)
    assert time.monotonic() - started < 20


EDITS = st.tuples(
    st.integers(0, 10**4),
    st.sampled_from(["bits", "cut", "other", "gone"]),
    st.lists(st.tuples(st.integers(0, 10**4), st.integers(1, 255)), min_size=1, max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=3))
def test_a_broken_object_never_raises_anything_else(edits: list[Any]) -> None:
    made = message(64)
    contents = objects(made)
    names = list(contents)
    for place, how, flips in edits:
        name = names[place % len(names)]
        broken = bytearray(contents.get(name, b"x"))
        if how == "bits":
            for where, byte in flips:
                if broken:
                    broken[where % len(broken)] ^= byte
        elif how == "cut":
            broken = broken[: flips[0][0] % (len(broken) + 1)]
        elif how == "other":
            broken = bytearray(contents.get(names[flips[0][0] % len(names)], b""))
        contents[name] = bytes(broken)
        if how == "gone":
            del contents[name]
    with suppress(BadAnswerError):
        assert isinstance(flower_pull.inflated(made.object_id, contents, MB), Message)


class Transport:
    """What a SuperLink says to Flower's HttpGrid about one reply, without a network in between."""

    def __init__(self, reply: Message | None) -> None:
        self.reply = reply
        self.contents = objects(reply) if reply else {}
        self.asked: list[str] = []
        self.confirmed: list[str] = []

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:  # noqa: N802
        if self.reply is None:
            return PullAppMessagesResponse()
        head = message_to_proto(remove_content_from_message(self.reply))
        return PullAppMessagesResponse(messages_list=[head], message_object_trees=[get_object_tree(self.reply)])

    def PullObject(self, request: Any) -> PullObjectResponse:  # noqa: N802
        self.asked.append(request.object_id)
        content = self.contents[request.object_id]
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def ConfirmMessageReceived(self, request: Any) -> None:  # noqa: N802
        self.confirmed.append(request.message_object_id)


def over_http(reply: Message | None, limit_bytes: int = 32 * MB) -> tuple[Message | None, Transport]:
    """Return what comes of a reply through Flower's own HttpGrid."""
    grid, transport = HttpGrid(token="t"), Transport(reply)
    grid.set_run(Run.create_empty(1))
    grid._client = transport  # type: ignore[assignment]
    try:
        return flower_pull.pull(grid, "m1", limit_bytes=limit_bytes, until=time.monotonic() + 60), transport
    finally:
        grid._client = None


def test_flowers_own_grid_gives_the_reply_and_lets_the_superlink_forget_it() -> None:
    made = message(6 * MB)
    arrived, transport = over_http(made)
    assert arrived is not None
    assert arrived.content[ADAPTER]["encoder.a"].data == bytes(6 * MB)
    assert transport.confirmed == [made.object_id]
    assert len(transport.asked) == len(set(transport.asked))


def test_no_reply_yet_is_no_reply() -> None:
    assert over_http(None)[0] is None


def test_a_hundred_huge_replies_in_a_row_leave_no_memory_behind() -> None:
    made = message(64 * MB)
    tracemalloc.start()
    for _ in range(100):
        with suppress(BadAnswerError):
            over_http(made)
            pytest.fail("it was not refused")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 30 * MB  # the parts of one reply, here with the test's own copy; never 64


def test_an_error_arrives_as_an_error() -> None:
    failed = Message(Error(102, "ValueError"), reply_to=message(64))
    failed.metadata.__dict__["_message_id"] = failed.object_id
    arrived, _ = over_http(failed)
    assert arrived is not None
    assert arrived.has_error()
    assert arrived.error.code == 102
