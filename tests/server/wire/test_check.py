"""Counts that cannot be are left out with their update."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict

from clinfed.adapters.state import AdapterState
from clinfed.evaluation.counts import SpanCounts
from clinfed.protocol import (
    ALL_GOLD,
    COUNT_KIND,
    COUNT_NAMES,
    COUNTS,
    FEDERATED,
    IDENTITY,
    REPLICATES,
    BadAnswerError,
    Reason,
    Refused,
)
from clinfed.tasks.tagging.factored import JerlFactored
from server.participation import parted
from server.wire import check

LIAR = "clinic-3"
KEY = f"{FEDERATED}.{ALL_GOLD}"


def integers(values: Any, dtype: str = "<i8") -> Array:
    array = np.asarray(values, dtype)
    return Array(dtype, array.shape, COUNT_KIND, array.tobytes())


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
    content[COUNTS][f"{KEY}.counts"] = Array("<i8", (2**40, 3), COUNT_KIND, b"")


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
    "a_row_of_zeros": (with_counts(lambda each: each * (np.arange(len(each)) > 0)[:, None]), Reason.COUNTS),
    "one_row_less": (with_counts(lambda each: each[1:]), Reason.COUNTS),
    "flat": (with_counts(lambda each: each.ravel()), Reason.COUNTS),
    "huge_shape": (huge_shape, Reason.MALFORMED),
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
def test_impossible_counts_of_the_test_are_not_merged(table: Any, name: str) -> None:
    def tamper(kind: str, reply: Message) -> Message:
        if kind == "evaluate" and reply.content[IDENTITY]["clinic"] == "clinic-1":
            array = reply.content[COUNTS][f"{KEY}.{name}"]
            shape = (*array.shape[:-2], array.shape[-2] + 1, 3)  # of replicates one more than all others bring
            reply.content[COUNTS][f"{KEY}.{name}"] = integers(np.zeros(shape))
        return reply

    handles = table.federation.with_notes("test")
    replies = table.exchange(tamper).evaluate(
        handles, table.state, 2, split="test", test_evaluation=True, replicates=True, run_key=32 * "0"
    )
    answers, refused = parted(replies)
    assert refused == [Refused("clinic-1", str(Reason.COUNTS))]
    assert [answer.clinic for answer in answers] == [handle.clinic for handle in handles if handle.clinic != "clinic-1"]


def test_each_part_has_a_reach_of_its_own() -> None:
    before = AdapterState({name: np.zeros(2, np.float32) for name in ("encoder.a", "head.b")})
    farthest = {"encoder": (1.0, 0.0), "head": (5.0, 0.0)}

    def moved(encoder: float, head: float) -> AdapterState:
        return AdapterState({"encoder.a": np.float32([encoder, 0]), "head.b": np.float32([head, 0])})

    check.check_max_update(moved(1, 5), before, farthest)
    for state in (moved(2, 0), moved(0, 6)):
        with pytest.raises(BadAnswerError, match=Reason.BEYOND_MAX_UPDATE):
            check.check_max_update(state, before, farthest)


def test_a_real_site_may_name_shared_codes_only() -> None:
    evaluated = {(FEDERATED, ALL_GOLD): SpanCounts({("es", "canarytext"): _one()})}
    registered = {"nodes": 0, "validation_mentions": 5, "validation_notes": 5}
    rule = {"split": "validation", "test_evaluation": False, "replicates": False, "registered": registered}
    check.check_counts(evaluated, JerlFactored(), shared={"canarytext"}, **rule)
    with pytest.raises(BadAnswerError, match=Reason.COUNTS):
        check.check_counts(evaluated, JerlFactored(), shared={"E11.9"}, **rule)


def test_each_language_of_the_last_validation_brings_replicates_or_its_counts_could_not_be_added_up() -> None:
    sampled = np.zeros((REPLICATES, 3), np.int64)
    both = {("ca", "I10"): _one(), ("es", "I10"): _one()}
    rule = {
        "split": "validation",
        "test_evaluation": False,
        "registered": {"nodes": 0, "validation_mentions": 5, "validation_notes": 5},
    }

    def checked(*languages: str, replicates: bool) -> None:
        counts = SpanCounts(both, dict.fromkeys(languages, sampled))
        check.check_counts(
            {(FEDERATED, ALL_GOLD): counts}, JerlFactored(), shared={"I10"}, replicates=replicates, **rule
        )

    checked("ca", "es", replicates=True)
    checked(replicates=False)
    for languages, replicates in ((("ca",), True), ((), True), (("ca", "es"), False)):
        with pytest.raises(BadAnswerError, match=Reason.COUNTS):
            checked(*languages, replicates=replicates)


def _one() -> Any:
    from clinfed.evaluation.counts import Counts

    return Counts(1, 1, 1)
