"""Answers that must be left out: each attack is one change to an honest clinic's reply."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, RecordDict
from safetensors.numpy import load, save

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.errors import UserError
from clinfed.protocol import ADAPTER, IDENTITY, REPORT, TENSORS, TENSORS_KIND, Reason, Refused

Change = Callable[[RecordDict], None]


def packed(tensors: dict[str, np.ndarray]) -> Array:
    data = save(tensors)
    return Array("|u1", (len(data),), TENSORS_KIND, data)


def tensors_of(content: RecordDict) -> dict[str, np.ndarray]:
    return load(content[ADAPTER][TENSORS].data)


def changed(content: RecordDict, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the numbers of all tensors."""
    content[ADAPTER][TENSORS] = packed({name: change(values) for name, values in tensors_of(content).items()})


def changed_first(content: RecordDict, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one tensor, a matrix."""
    tensors = tensors_of(content)
    name = min(tensors)
    content[ADAPTER][TENSORS] = packed({**tensors, name: change(tensors[name])})


def all_nan(content: RecordDict) -> None:
    changed(content, lambda values: np.full_like(values, np.nan))


def one_nan(content: RecordDict) -> None:
    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[-1] = np.nan
        return values

    changed_first(content, change)


def infinite(content: RecordDict) -> None:
    changed(content, lambda values: np.full_like(values, -np.inf))


def scaled(content: RecordDict) -> None:
    changed(content, lambda values: np.float32(1e6) * values)


def largest(content: RecordDict) -> None:
    changed(content, lambda values: np.full_like(values, np.finfo(np.float32).max))


def broadcastable(content: RecordDict) -> None:
    changed_first(content, lambda values: values[:1].copy())


def one_number(content: RecordDict) -> None:
    changed_first(content, lambda values: np.ones(1, np.float32))


def transposed(content: RecordDict) -> None:
    changed_first(content, lambda values: values.T.copy())


def missing(content: RecordDict) -> None:
    tensors = tensors_of(content)
    del tensors[min(tensors)]
    content[ADAPTER][TENSORS] = packed(tensors)


def added(content: RecordDict) -> None:
    stranger = {"encoder.layers.0.weight": np.ones((2, 2), np.float32)}
    content[ADAPTER][TENSORS] = packed({**tensors_of(content), **stranger})


def half_precision(content: RecordDict) -> None:
    changed_first(content, lambda values: values.astype(np.float16))


def too_few_bytes(content: RecordDict) -> None:
    data = content[ADAPTER][TENSORS].data[:-4]
    content[ADAPTER][TENSORS] = Array("|u1", (len(data),), TENSORS_KIND, data)


def another_block(content: RecordDict) -> None:
    content[ADAPTER]["canarytext"] = content[ADAPTER][TENSORS]


def pickled(content: RecordDict) -> None:
    content[ADAPTER][TENSORS] = Array("|u1", (3,), TENSORS_KIND, b"\x80\x05.")


def of_numpys_kind(content: RecordDict) -> None:
    content[ADAPTER][TENSORS] = Array(np.zeros(2, np.float32))


def examples(number: float) -> Change:
    def change(content: RecordDict) -> None:
        content[REPORT]["num_examples"] = number

    change.__name__ = f"examples_{number}"
    return change


def loss_nan(content: RecordDict) -> None:
    content[REPORT]["loss"] = float("nan")


def steps_without_end(content: RecordDict) -> None:
    content[REPORT]["steps"] = 10**9


def seconds_negative(content: RecordDict) -> None:
    content[REPORT]["train_s"] = -1.0


def a_figure_of_its_own(content: RecordDict) -> None:
    content[REPORT]["canarytext_s"] = 1.0


def other_clinic(content: RecordDict) -> None:
    content[IDENTITY]["clinic"] = "0" if content[IDENTITY]["clinic"] != "0" else "1"


def other_code(content: RecordDict) -> None:
    content[IDENTITY]["code"] = "0" * 64


def other_wire(content: RecordDict) -> None:
    content[IDENTITY]["wire"] = 99


def replayed(content: RecordDict) -> None:
    content[IDENTITY]["nonce"] = "0" * 32


def no_adapter(content: RecordDict) -> None:
    content[ADAPTER] = ConfigRecord()


def no_identity(content: RecordDict) -> None:
    del content[IDENTITY]


# All of the field's usual attacks on an update, and what this wire format adds.
ATTACKS: dict[Change, Reason] = {
    all_nan: Reason.NOT_FINITE,
    one_nan: Reason.NOT_FINITE,
    infinite: Reason.NOT_FINITE,
    scaled: Reason.BEYOND_MAX_UPDATE,
    largest: Reason.BEYOND_MAX_UPDATE,
    broadcastable: Reason.SHAPE,
    one_number: Reason.SHAPE,
    transposed: Reason.SHAPE,
    missing: Reason.NAMES,
    added: Reason.NAMES,
    half_precision: Reason.TYPE,
    too_few_bytes: Reason.MALFORMED,
    another_block: Reason.MALFORMED,
    pickled: Reason.MALFORMED,
    of_numpys_kind: Reason.MALFORMED,
    examples(0): Reason.NO_EXAMPLES,
    examples(0.5): Reason.NO_EXAMPLES,
    examples(-399): Reason.NO_EXAMPLES,
    examples(float("nan")): Reason.NO_EXAMPLES,
    examples(10**12): Reason.MORE_EXAMPLES,
    loss_nan: Reason.FIGURES,
    steps_without_end: Reason.FIGURES,
    seconds_negative: Reason.FIGURES,
    a_figure_of_its_own: Reason.FIGURES,
    other_clinic: Reason.OTHER_CLINIC,
    other_code: Reason.OTHER_CODE,
    other_wire: Reason.OTHER_CODE,
    replayed: Reason.REPLAYED,
    no_adapter: Reason.MALFORMED,
    no_identity: Reason.MALFORMED,
}


LIAR = "clinic-3"
HONEST = ("clinic-1", "clinic-2", "clinic-4", "clinic-5")


def lie(attack: Change, *, kinds: tuple[str, ...] = ("train",), liars: tuple[str, ...] = (LIAR,)) -> Any:
    """Return what changes the replies of some clinics to some kinds of questions."""

    def tamper(kind: str, reply: Message) -> Message:
        if kind in kinds and reply.content[IDENTITY]["clinic"] in liars:
            attack(reply.content)
        return reply

    return tamper


def told(kind: str, reply: Message) -> Message:
    return reply


def mean(contents: list[RecordDict]) -> str:
    """Return the hash of the weighted mean of the adapters, written out here."""
    total = sum(content[REPORT]["num_examples"] for content in contents)
    sums = {name: np.zeros(each.shape) for name, each in tensors_of(contents[0]).items()}
    for content in contents:
        for name, each in tensors_of(content).items():
            sums[name] += content[REPORT]["num_examples"] * each.astype(np.float64)
    return AdapterState({name: (each / total).astype(np.float32) for name, each in sums.items()}).sha256()


def test_five_honest_clinics_of_very_different_size_are_all_used(table: Any) -> None:
    done = table.train(told)
    notes = [answer.report["num_examples"] for answer in done.trained]
    assert done.refused == []
    assert len(notes) == 5
    assert max(notes) >= 2 * min(notes)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_one_bad_update_of_five_is_left_out_bit_for_bit(table: Any, attack: Change) -> None:
    done = table.train(lie(attack))
    assert done.refused == [Refused(LIAR, str(ATTACKS[attack]))]
    assert [answer.clinic for answer in done.trained] == [*HONEST]
    assert LIAR not in {answer.clinic for answer in done.validated}
    contents = [content for (kind, _), content in table.recorded.items() if kind == "train"]
    contents = sorted(contents, key=lambda content: content[IDENTITY]["clinic"])
    assert done.server.adapter.sha256() == mean([each for each in contents if each[IDENTITY]["clinic"] != LIAR])
    assert done.server.adapter.sha256() != mean(contents)


def test_an_update_that_only_repeats_the_global_adapter_is_used(table: Any) -> None:
    def unchanged(content: RecordDict) -> None:
        content[ADAPTER][TENSORS] = packed(dict(table.state))

    assert table.train(lie(unchanged)).refused == []


def test_an_answer_of_an_earlier_round_is_known_by_its_nonce(table: Any) -> None:
    seen: list[RecordDict] = []

    def repeat(content: RecordDict) -> None:
        seen.append(deepcopy(content))
        for name, record in seen[0].items():
            content[name] = record

    exchange = table.exchange(lie(repeat))
    handles, evaluating = table.federation.with_notes("train"), table.federation.with_notes("validation")
    replies = [
        reply
        for number in (1, 2)
        for reply in exchange.train(handles, Payload(table.state), number, evaluating=evaluating)
    ]
    refused = [reply for reply in replies if isinstance(reply, Refused)]
    assert refused == [Refused(LIAR, str(Reason.REPLAYED))]


def test_a_refused_clinic_is_named_in_the_record_and_the_run_goes_on(
    run_locally: Any, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record, _ = run_locally(world.overrides, tamper=lie(scaled, liars=("ca",)))
    alone, _ = run_locally(world.overrides, tamper=lie(no_identity, kinds=("train",), liars=("ca",)))
    expected = [{"clinic": "ca", "reason": str(Reason.BEYOND_MAX_UPDATE)}]
    assert [entry["refused"] for entry in record["rounds"]] == [expected, expected]
    assert [[*entry["clinics"]] for entry in record["rounds"]] == [["es"], ["es"]]
    assert record["adapter_sha256"] == alone["adapter_sha256"]
    assert f"clinfed | round 1 | clinic ca left out: {Reason.BEYOND_MAX_UPDATE}\n" in capsys.readouterr().out


def test_a_run_whose_clinics_all_lie_is_no_finished_run(run_locally: Any, world: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the quorum is 1: clinic ca: {Reason.NOT_FINITE}; clinic es: ") as end:
        run_locally(world.overrides, tamper=lie(one_nan, liars=("ca", "es")))
    assert "\n" not in str(end.value)
    assert not list(tmp_path.rglob("record.json"))
