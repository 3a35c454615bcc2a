"""Hundreds of replies that chance has changed: no exception, no poisoned adapter."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from clinfed.evaluation.counts import SpanCounts
from clinfed.protocol import (
    ADAPTER,
    ALL_GOLD,
    COUNT_KIND,
    COUNT_NAMES,
    COUNTS,
    FEDERATED,
    IDENTITY,
    REPORT,
    TENSORS_KIND,
    Reason,
)
from clinfed.training.max_update import max_update
from server.participation import parted

LIAR = "clinic-3"

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "canarytext", "0" * 64, "<f4", "<i8", "|O", COUNT_KIND, TENSORS_KIND, "es\nes"]
)
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**53 + 1])
VALUES = TEXTS | WHOLE | st.floats() | st.binary(max_size=40) | st.booleans()
SHAPES = st.lists(st.integers(-3, 2**40), max_size=4).map(tuple)
Mutation = Callable[[RecordDict], None]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Return a change to one place of a reply: a record, a name, a figure, or a tensor's type, shape or bytes."""
    record = draw(st.sampled_from([ADAPTER, ADAPTER, COUNTS, COUNT_NAMES, IDENTITY, REPORT]))
    place, kind = draw(st.integers(0, 10**6)), draw(st.sampled_from(["drop", "replace", "value", "value", "value"]))
    arrays = record in (ADAPTER, COUNTS)
    fresh = draw(st.sampled_from([ArrayRecord, ConfigRecord, MetricRecord]))
    parts = ["dtype", "shape", "stype", "data", "bits", "bits"] + (3 * ["number", "flat"] * (record == ADAPTER))
    part, key = draw(st.sampled_from(parts)), draw(TEXTS)
    new_key = draw(st.booleans()) and draw(st.booleans())
    value: Any
    if arrays:
        kinds = {"shape": SHAPES, "data": st.binary(max_size=60), "bits": st.binary(min_size=1, max_size=4)}
        value = draw({**kinds, "number": st.floats(width=32) | st.floats(10, 1e30)}.get(part, TEXTS))
    else:
        value = draw(VALUES)

    def mutate(content: RecordDict) -> None:
        if record not in content:
            return
        if kind == "drop":
            del content[record]
        elif kind == "replace":
            del content[record]  # Flower warns of a record that is overwritten
            content[record] = fresh()
        elif arrays and isinstance(content[record], ArrayRecord) and content[record]:
            _mutate_array(content[record], place, part, value)
        elif not arrays and isinstance(content[record], ConfigRecord | MetricRecord):
            names = sorted(content[record])
            name = key if new_key or not names else names[place % len(names)]
            _set(content[record], name, value)

    return mutate


def _set(record: Any, name: str, value: Any) -> None:
    """Set a value that Flower's own types allow; others cannot travel."""
    if isinstance(record, MetricRecord) and not (isinstance(value, int | float) and not isinstance(value, bool)):
        return
    record[name] = value


def _mutate_array(record: ArrayRecord, place: int, part: str, value: Any) -> None:
    name = sorted(record)[place % len(record)]
    old = record[name]
    fields = {"dtype": old.dtype, "shape": old.shape, "stype": old.stype, "data": old.data}
    if part == "bits":
        data = bytearray(old.data)
        for offset, byte in enumerate(value):
            if data:
                data[(place + offset) % len(data)] ^= byte
        fields["data"] = bytes(data)
    elif part in ("number", "flat"):
        if old.stype == TENSORS_KIND:  # and not what an earlier mutation has made of it
            fields["data"] = _mutate_tensor(old.data, place, value if part == "number" else None)
            fields["shape"] = (len(fields["data"]),)
    else:
        fields[part] = value
    record[name] = Array(**fields)


def _mutate_tensor(data: bytes, place: int, number: float | None) -> bytes:
    """Change one number of one tensor, or without a number its shape."""
    try:
        tensors = load(data)
    except SafetensorError:  # an earlier mutation has been here
        return data
    name = sorted(tensors)[place % len(tensors)]
    values = tensors[name].copy()
    if number is None:
        values = values.reshape(-1)
    else:
        values.flat[place % values.size] = number
    return save({**tensors, name: values})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutations(), min_size=1, max_size=3))
def test_a_mutated_reply_never_raises_and_never_poisons(table: Any, changes: list[Mutation]) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "train" and reply.content[IDENTITY]["clinic"] == LIAR:
            for change in changes:
                change(reply.content)
        return reply

    done = table.train(tamper, only=("clinic-1", LIAR))
    reasons = {str(reason) for reason in Reason}
    assert all(each.clinic == LIAR and each.reason in reasons for each in done.refused)
    if done.refused:
        assert done.server.adapter.sha256() == _alone(table)
    farthest = max_update(table.run.training, table.run.epochs_of_round(2), 10**3)
    for name, values in done.server.adapter.items():
        fixed, relative = farthest[name.split(".")[0]]
        assert np.isfinite(values).all()
        assert (np.abs(values - table.state[name]) <= fixed + relative * np.abs(table.state[name])).all()
    for answer in done.validated:
        assert answer.counts[FEDERATED, ALL_GOLD].micro().support <= 10**4


def _alone(table: Any) -> str:
    return str(table.train(lambda kind, reply: reply, only=("clinic-1",)).server.adapter.sha256())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutations(), min_size=1, max_size=3))
def test_a_mutated_evaluation_never_raises(table: Any, changes: list[Mutation]) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "evaluate" and reply.content[IDENTITY]["clinic"] == "clinic-1":
            for change in changes:
                change(reply.content)
        return reply

    handles = table.federation.with_notes("test")
    replies = table.exchange(tamper).evaluate(
        handles, table.state, 2, split="test", test_evaluation=True, replicates=True, run_key=32 * "0"
    )
    answers, _ = parted(replies)
    merged = sum((answer.counts[FEDERATED, ALL_GOLD] for answer in answers), SpanCounts())
    assert merged.micro().support <= sum(handle.registered["test_mentions"] for handle in handles)
    merged.interval()


def test_mutations_do_reach_every_rule_family(table: Any) -> None:
    # The property above would be empty if all mutations were refused at once, or none was.
    seen = set()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(st.lists(mutations(), min_size=1, max_size=2))
    def look(changes: list[Mutation]) -> None:
        def tamper(kind: str, reply: Message) -> Message:
            if kind == "train" and reply.content[IDENTITY]["clinic"] == LIAR:
                for change in changes:
                    change(reply.content)
            return reply

        refused = table.train(tamper, only=("clinic-1", LIAR)).refused
        seen.add(refused[0].reason if refused else "accepted")

    look()
    assert {"accepted", str(Reason.MALFORMED), str(Reason.COUNTS), str(Reason.FIGURES)} <= seen
    assert seen & {str(Reason.BEYOND_MAX_UPDATE), str(Reason.NOT_FINITE), str(Reason.SHAPE)}
