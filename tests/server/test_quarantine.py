"""Counts that cannot be, and hundreds of replies that chance has changed: no exception, no poisoned adapter."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinfed.evaluation.counts import SpanCounts
from clinfed.protocol import (
    ADAPTER,
    ALL_GOLD,
    COUNT_NAMES,
    COUNTS,
    FEDERATED,
    IDENTITY,
    REPORT,
    TENSOR_KIND,
    Refused,
)
from clinfed.training.reach import reach
from server import quarantine
from server.quarantine import BadAnswerError, Reason

LIAR = "clinic-3"
KEY = f"{FEDERATED}.{ALL_GOLD}"


def integers(values: Any, dtype: str = "<i8") -> Array:
    array = np.asarray(values, dtype)
    return Array(dtype, array.shape, TENSOR_KIND, array.tobytes())


def counted(content: RecordDict) -> np.ndarray:
    array = content[COUNTS][f"{KEY}.counts"]
    return np.frombuffer(array.data, "<i8").reshape(array.shape).copy()


def with_counts(change: Callable[[np.ndarray], Any], dtype: str = "<i8") -> Callable[[RecordDict], None]:
    def attack(content: RecordDict) -> None:
        content[COUNTS][f"{KEY}.counts"] = integers(change(counted(content)), dtype)

    return attack


def with_name(key: str, change: Callable[[str], Any]) -> Callable[[RecordDict], None]:
    def attack(content: RecordDict) -> None:
        content[COUNT_NAMES][f"{KEY}.{key}"] = change(content[COUNT_NAMES][f"{KEY}.{key}"])

    return attack


def another_system(content: RecordDict) -> None:
    for record in (content[COUNTS], content[COUNT_NAMES]):
        for name in list(record):
            record[name.replace(FEDERATED, "canarytext")] = record.pop(name)


def uninvited_replicates(content: RecordDict) -> None:
    content[COUNTS][f"{KEY}.replicates"] = integers(np.zeros((1, 3, 3)))
    content[COUNT_NAMES][f"{KEY}.replicate_languages"] = "es"


def nothing(content: RecordDict) -> None:
    content[COUNTS] = ArrayRecord()


def huge_shape(content: RecordDict) -> None:
    content[COUNTS][f"{KEY}.counts"] = Array("<i8", (2**40, 3), TENSOR_KIND, b"")


def a_pickle(content: RecordDict) -> None:
    content[COUNTS][f"{KEY}.counts"] = Array("object", (1,), "numpy.ndarray", b"\x80\x05.")


COUNT_ATTACKS = {
    "negative": (with_counts(lambda each: each - 10**6), Reason.COUNTS),
    "more_tp_than_gold": (with_counts(lambda each: np.add(each, [10**6, 0, 0])), Reason.MORE_GOLD),
    "more_fn_than_gold": (with_counts(lambda each: np.add(each, [0, 0, 10**6])), Reason.MORE_GOLD),
    "overflow": (with_counts(lambda each: np.full_like(each, 2**63 - 1)), Reason.COUNTS),
    "many_fp": (with_counts(lambda each: np.add(each, [0, 2**60, 0])), Reason.COUNTS),
    "floats": (with_counts(lambda each: each, "<f8"), Reason.COUNTS),
    "two_columns": (with_counts(lambda each: each[:, :2]), Reason.COUNTS),
    "one_row_less": (with_counts(lambda each: each[1:]), Reason.COUNTS),
    "flat": (with_counts(lambda each: each.ravel()), Reason.COUNTS),
    "huge_shape": (huge_shape, Reason.COUNTS),
    "pickle": (a_pickle, Reason.MALFORMED),
    "code_twice": (with_name("codes", lambda each: "\n".join([each.split("\n")[0]] * len(each.split("\n")))), None),
    "a_language_of_its_own": (with_name("languages", lambda each: f"canarytext{each[2:]}"), Reason.COUNTS),
    "names_are_a_number": (with_name("codes", lambda each: 1), Reason.COUNTS),
    "another_system": (another_system, Reason.COUNTS),
    "uninvited_replicates": (uninvited_replicates, Reason.COUNTS),
    "nothing": (nothing, Reason.COUNTS),
}


@pytest.mark.parametrize("attack", COUNT_ATTACKS)
def test_counts_that_cannot_be_are_left_out_with_their_update(table: Any, attack: str) -> None:
    change, reason = COUNT_ATTACKS[attack]

    def tamper(kind: str, reply: Message) -> Message:
        if kind == "train" and reply.content[IDENTITY]["clinic"] == LIAR:
            change(reply.content)
        return reply

    done = table.train(tamper)
    assert [each.clinic for each in done.refused] == [LIAR]
    assert done.refused[0].reason == str(reason or Reason.COUNTS)
    assert LIAR not in {answer.clinic for answer in [*done.validated, *done.trained]}


@pytest.mark.parametrize("name", ["counts", "replicates"])
def test_closing_counts_that_cannot_be_are_not_merged(table: Any, name: str) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "evaluate" and reply.content[IDENTITY]["clinic"] == "clinic-1":
            array = reply.content[COUNTS][f"{KEY}.{name}"]
            shape = (*array.shape[:-2], array.shape[-2] + 1, 3)  # of replicates one more than all others bring
            reply.content[COUNTS][f"{KEY}.{name}"] = integers(np.zeros(shape))
        return reply

    refused: list[Refused] = []
    seats = table.federation.with_notes("test")
    answers = table.exchange(tamper).evaluate(seats, table.state, 2, refused, split="test", closing=True)
    assert refused == [Refused("clinic-1", str(Reason.COUNTS))]
    assert [answer.clinic for answer in answers] == [seat.clinic for seat in seats if seat.clinic != "clinic-1"]


def test_a_real_site_may_name_shared_codes_only() -> None:
    judged = {(FEDERATED, ALL_GOLD): SpanCounts({("es", "canarytext"): _one()})}
    registered = {"nodes": 0, "validation_mentions": 5}
    rule = {"split": "validation", "closing": False, "registered": registered}
    quarantine.check_counts(judged, shared={"canarytext"}, **rule)
    with pytest.raises(BadAnswerError, match=Reason.COUNTS):
        quarantine.check_counts(judged, shared={"E11.9"}, **rule)


def _one() -> Any:
    from clinfed.evaluation.counts import Counts

    return Counts(1, 1, 1)


TEXTS = st.text(max_size=20) | st.sampled_from(["", "canarytext", "0" * 64, "<f4", "<i8", "|O", TENSOR_KIND, "es\nes"])
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**53 + 1])
VALUES = TEXTS | WHOLE | st.floats() | st.binary(max_size=40) | st.booleans()
SHAPES = st.lists(st.integers(-3, 2**40), max_size=4).map(tuple)
Mutation = Callable[[RecordDict], None]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Return a change to one place of a reply: a record, a name, a figure, or a tensor's type, shape or bytes."""
    record = draw(st.sampled_from([ADAPTER, COUNTS, COUNT_NAMES, IDENTITY, REPORT]))
    place, kind = draw(st.integers(0, 10**6)), draw(st.sampled_from(["drop", "replace", "value", "value", "value"]))
    arrays = record in (ADAPTER, COUNTS)
    fresh = draw(st.sampled_from([ArrayRecord, ConfigRecord, MetricRecord]))
    part, key = draw(st.sampled_from(["dtype", "shape", "stype", "data", "bits", "bits"])), draw(TEXTS)
    new_key = draw(st.booleans()) and draw(st.booleans())
    value: Any
    if arrays:
        value = draw(
            {"shape": SHAPES, "data": st.binary(max_size=60), "bits": st.binary(min_size=1, max_size=4)}.get(
                part, TEXTS
            )
        )
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
    else:
        fields[part] = value
    record[name] = Array(**fields)


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
    fixed, relative = reach(table.run.training, range(1, 2), table.run.rounds, 10**3)
    for name, values in done.server.adapter.items():
        assert np.isfinite(values).all()
        assert (np.abs(values - table.state[name]) <= fixed + relative * np.abs(table.state[name])).all()
    for answer in done.validated:
        assert answer.counts[FEDERATED, ALL_GOLD].micro().support <= 10**4


def _alone(table: Any) -> str:
    return str(table.train(lambda kind, reply: reply, only=("clinic-1",)).server.adapter.sha256())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutations(), min_size=1, max_size=3))
def test_a_mutated_judgement_never_raises(table: Any, changes: list[Mutation]) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "evaluate" and reply.content[IDENTITY]["clinic"] == "clinic-1":
            for change in changes:
                change(reply.content)
        return reply

    refused: list[Refused] = []
    seats = table.federation.with_notes("test")
    answers = table.exchange(tamper).evaluate(seats, table.state, 2, refused, split="test", closing=True)
    merged = sum((answer.counts[FEDERATED, ALL_GOLD] for answer in answers), SpanCounts())
    assert merged.micro().support <= sum(seat.registered["test_mentions"] for seat in seats)
    merged.interval()


def test_mutations_do_reach_every_rule_family(table: Any) -> None:
    # The property above would be empty if all mutations were refused at the door, or none was.
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
    assert deepcopy(seen) & {str(Reason.OUT_OF_REACH), str(Reason.TYPE), str(Reason.SHAPE), str(Reason.BYTES)}
