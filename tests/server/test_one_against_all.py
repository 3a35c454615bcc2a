"""What one clinic of five can make of the result: its weight, its reach, its claims, and the choice of a round."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, Message, RecordDict
from safetensors.numpy import load, save

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate, Payload
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.merging import median_score, merged, scores_without_each
from clinfed.protocol import (
    ADAPTER,
    ALL_GOLD,
    COUNT_KIND,
    COUNTS,
    FEDERATED,
    IDENTITY,
    TENSORS,
    TENSORS_KIND,
    Answer,
    Reason,
    Refused,
)
from clinfed.runs.state import Best, Round, RunState
from server.admission import Admission
from server.participation import Accepted, capped_weights, parted
from server.rounds import closed, run_rounds, usual_length, validation_score
from server.settings import Limits, RegisteredSite
from server.wire.asked import Trained
from server.wire.check import length_of
from strategies.base import ServerState
from strategies.fedavg import FedAvg

LIAR = "clinic-3"
HONEST = ["clinic-1", "clinic-2", "clinic-4", "clinic-5"]
KEY = 32 * "0"


def lie(kind: str, attack: Callable[[RecordDict], None], liar: str = LIAR) -> Any:
    def tamper(asked: str, reply: Message) -> Message:
        if asked == kind and reply.content[IDENTITY]["clinic"] == liar:
            attack(reply.content)
        return reply

    return tamper


# What a site may claim.


@pytest.mark.parametrize("cap", ["notes", "windows", "mentions"])
def test_a_site_that_claims_more_than_it_was_registered_with_stays_outside(table: Any, cap: str) -> None:
    handle = next(each for each in table.federation.handles if each.clinic == LIAR)
    held = table.federation.manifest[LIAR]
    claims = {"notes": held["notes"], "windows": handle.registered["train_windows"], "mentions": held["mentions"]}
    run = replace(table.run, wait_for_clients=replace(table.run.wait_for_clients, minimum=4))

    def gathered(site: RegisteredSite) -> tuple[list[str], list[Refused]]:
        admission = Admission(table.exchange(lambda kind, reply: reply), run, {LIAR: site})
        federation = admission.open(lambda: table.model.fingerprints)
        return [each.clinic for each in federation.handles], admission.take_refused()

    assert gathered(RegisteredSite(**claims)) == (sorted([*HONEST, LIAR]), [])
    below = RegisteredSite(**{**claims, cap: claims[cap] - 1})
    assert gathered(below) == (HONEST, [Refused(LIAR, str(Reason.MORE_THAN_REGISTERED))])


def test_a_thousand_million_claimed_hits_are_left_out(table: Any) -> None:
    def hits(content: RecordDict) -> None:
        name = f"{FEDERATED}.{ALL_GOLD}.counts"
        old = content[COUNTS][name]
        rows = np.frombuffer(old.data, "<i8").reshape(old.shape).copy()
        rows[0, 0] = 10**9
        content[COUNTS][name] = Array("<i8", rows.shape, COUNT_KIND, rows.tobytes())

    done = table.train(lie("train", hits))
    assert done.refused == [Refused(LIAR, str(Reason.MORE_GOLD))]
    assert done.validated


def evaluated(table: Any, tamper: Any) -> tuple[list[Answer], list[Refused]]:
    handles = table.federation.with_notes("test")
    replies = table.exchange(tamper).evaluate(
        handles, table.state, 2, split="test", test_evaluation=True, replicates=True, run_key=KEY
    )
    return parted(replies)


def test_replicates_cannot_hold_more_than_any_draw_of_the_counted_mentions(table: Any) -> None:
    # Else counts that are honest would come with an interval that lies next to 1.
    def narrow(content: RecordDict) -> None:
        for name in [name for name in content[COUNTS] if name.endswith(".replicates")]:
            old = content[COUNTS][name]
            rows = np.frombuffer(old.data, "<i8").reshape(old.shape).copy()
            rows[..., 0] = 10**9
            content[COUNTS][name] = Array("<i8", rows.shape, COUNT_KIND, rows.tobytes())

    answers, refused = evaluated(table, lie("evaluate", narrow))
    assert refused == [Refused(LIAR, str(Reason.COUNTS))]
    assert len(answers) == len(table.federation.with_notes("test")) - 1
    assert evaluated(table, lambda kind, reply: reply)[1] == []


def test_predictions_are_at_most_ten_thousand_a_note(table: Any) -> None:
    def many(content: RecordDict) -> None:
        for name in [name for name in content[COUNTS] if name.endswith(".counts")]:
            old = content[COUNTS][name]
            rows = np.frombuffer(old.data, "<i8").reshape(old.shape).copy()
            rows[..., 1] = 10**9
            content[COUNTS][name] = Array("<i8", rows.shape, COUNT_KIND, rows.tobytes())

    assert table.train(lie("train", many)).refused == [Refused(LIAR, str(Reason.COUNTS))]


# How much a site may weigh.


def test_shares_are_capped_exactly_and_the_others_keep_their_proportions() -> None:
    weights, scale = capped_weights([90, 6, 4], 0.5)
    assert [Fraction(each, sum(weights)) for each in weights] == [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)]
    assert weights == [10 * scale, 6 * scale, 4 * scale]  # 10 of 20
    # The first cap alone would leave the second clinic .62 of what is left: both are capped.
    weights, _ = capped_weights([1000, 50, 2, 1], 0.4)
    assert [Fraction(each, sum(weights)) for each in weights] == [
        Fraction(2, 5),
        Fraction(2, 5),
        Fraction(2, 15),
        Fraction(1, 15),
    ]


def test_weights_within_their_shares_are_not_touched() -> None:
    assert capped_weights([3, 4, 5], 0.5) == ([3, 4, 5], 1)
    assert capped_weights([5, 5], 0.5) == ([1, 1], 1)


def test_clinics_too_few_for_the_share_weigh_the_same() -> None:
    assert capped_weights([9, 1], 0.3) == ([1, 1], 1)
    assert capped_weights([7], 0.3) == ([1], 1)


def updates_of(*examples: int) -> list[Trained]:
    def one(number: int, count: int) -> Trained:
        state = AdapterState({"head.b": np.array([float(number)], np.float32)})
        update = AdapterUpdate(f"clinic-{number}", state, count)
        return Trained(update, Answer(update.clinic, {}, {"num_examples": count}), None, float(number))

    return [one(number, count) for number, count in enumerate(examples)]


def aggregated(share: float) -> tuple[float, Accepted]:
    start = ServerState(AdapterState({"head.b": np.array([0.0], np.float32)}))
    updates = Accepted(iter(updates_of(6, 4, 90)), least=1, what="", total_examples=100, largest_share=share)
    return float(FedAvg().aggregate(start, updates).adapter["head.b"][0]), updates


def test_fedavg_under_a_share_is_the_mean_by_the_capped_weights_and_is_told() -> None:
    value, updates = aggregated(0.5)
    assert value == pytest.approx(0.3 * 0 + 0.2 * 1 + 0.5 * 2)
    assert updates.shares == {"clinic-0": 0.3, "clinic-1": 0.2, "clinic-2": 0.5}
    value, updates = aggregated(1.0)
    assert value == pytest.approx(0.04 * 1 + 0.9 * 2)
    assert updates.shares == {}


# How far a site may go.


def tensors(content: RecordDict) -> dict[str, np.ndarray]:
    return load(content[ADAPTER][TENSORS].data)


def minus_ten_times(sent: Mapping[str, np.ndarray]) -> Callable[[RecordDict], None]:
    def attack(content: RecordDict) -> None:
        moved = {
            name: (sent[name] - 10 * (each - sent[name])).astype(np.float32) for name, each in tensors(content).items()
        }
        data = save(moved)
        content[ADAPTER][TENSORS] = Array("|u1", (len(data),), TENSORS_KIND, data)

    return attack


def trained(table: Any, tamper: Any, longest: float) -> tuple[list[Trained], list[Refused]]:
    handles = table.federation.with_notes("train")
    evaluating = table.federation.with_notes("validation")
    replies = [
        *table.exchange(tamper).train(
            handles, Payload(table.state), 2, run_key=KEY, evaluating=evaluating, longest=longest
        )
    ]
    found = [each for each in replies if isinstance(each, Trained)]
    return found, [each for each in replies if isinstance(each, Refused)]


def test_minus_ten_times_its_own_update_lies_inside_the_reach_and_beyond_five_medians(table: Any) -> None:
    honest, refused = trained(table, lambda kind, reply: reply, float("inf"))
    assert refused == []
    usual = usual_length(each.length for each in honest)
    liar = max(honest, key=lambda each: each.length).update.clinic
    attack = lie("train", minus_ten_times(table.state), liar)
    assert trained(table, attack, float("inf"))[1] == [], "else the reach alone would have stopped it"
    found, refused = trained(table, attack, 5 * usual)
    assert refused == [Refused(liar, str(Reason.TOO_LONG))]
    assert len(found) == len(honest) - 1
    # What is not refused is not changed.
    again = {each.update.clinic: each.update.state.sha256() for each in honest}
    assert all(each.update.state.sha256() == again[each.update.clinic] for each in found)


def test_a_length_is_euclidean_over_all_tensors() -> None:
    before = AdapterState({"encoder.a": np.ones(2, np.float32), "head.b": np.zeros(1, np.float32)})
    after = AdapterState({"encoder.a": np.float32([1, 4]), "head.b": np.float32([4])})
    assert length_of(after, before) == 5.0
    assert usual_length([0.0, 3.0, 5.0, 1.0]) == 3.0  # who had no batch has moved nothing
    assert usual_length([0.0]) == 0.0


def test_an_update_much_longer_than_those_of_the_round_before_is_refused_in_a_run(
    run_locally: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*world.overrides, "rounds=3"]
    sent: dict[str, np.ndarray] = {}

    def watch(grid: Any, message: Message) -> None:
        if message.metadata.message_type == "train":
            sent.update(load(message.content[ADAPTER][TENSORS].data))

    def last_round(change: Callable[[RecordDict], None]) -> Any:
        def tamper(kind: str, reply: Message) -> Message:
            if kind == "train" and reply.metadata.group_id == "3" and reply.content[IDENTITY]["clinic"] == "ca":
                change(reply.content)
            return reply

        return tamper

    def limited(multiple: float, change: Callable[[RecordDict], None]) -> Any:
        def with_limits(*arguments: Any) -> RunState:
            return run_rounds(*arguments[:-1], Limits(update_multiple=multiple))

        monkeypatch.setattr("server.coordinator.run_rounds", with_limits)  # which a simulation alone does not have
        return run_locally(overrides, tamper=last_round(change), watch=watch)[0]

    honest, free, caught, absent = (
        limited(multiple, change)
        for multiple, change in (
            (5.0, lambda content: None),
            (0.0, minus_ten_times(sent)),
            (5.0, minus_ten_times(sent)),
            (5.0, lambda content: content.pop(IDENTITY)),
        )
    )
    assert [entry["refused"] for entry in [*honest["rounds"], *free["rounds"]]] == 6 * [[]]
    assert all(each["length"] > 0 for entry in honest["rounds"] for each in entry["clinics"].values())
    assert caught["rounds"][2]["refused"] == [{"clinic": "ca", "reason": str(Reason.TOO_LONG)}]
    assert caught["adapter_sha256"] == absent["adapter_sha256"], "left out, as if it had not been asked"
    assert len({record["adapter_sha256"] for record in (honest, free, caught)}) == 3


# What a site may make of the scores.


def spans(tp: int, fp: int = 0, fn: int = 0) -> SpanCounts:
    return SpanCounts({("es", "I10"): Counts(tp, fp, fn)})


FIVE = {"a": spans(5, 5, 5), "b": spans(4, 6, 6), "c": spans(6, 4, 4), "d": spans(5, 5, 5), "e": spans(90, 0, 0)}


def test_the_score_without_each_clinic_is_that_of_all_others() -> None:
    assert scores_without_each(FIVE) == {
        name: merged({other: each for other, each in FIVE.items() if other != name}).score for name in FIVE
    }
    assert scores_without_each(FIVE)["e"] == 0.5  # e alone has lifted it to .846
    assert scores_without_each({"a": FIVE["a"]}) == {}


def test_one_clinic_moves_the_median_to_its_neighbour_at_most() -> None:
    honest = {name: FIVE[name] for name in "abcd"}
    assert median_score(honest) == 0.5
    for claimed in (spans(10**6), spans(0, 10**6, 1)):
        assert 0.4 <= (median_score({**honest, "e": claimed}) or 0) <= 0.6
    assert median_score({}) is None


def answers(scores: dict[str, SpanCounts]) -> list[Answer]:
    return [Answer(name, {}, {}, counts={(FEDERATED, ALL_GOLD): each}) for name, each in scores.items()]


def best_of(rounds: list[dict[str, SpanCounts]]) -> Best | None:
    """Return the best of the rounds, of which each has been validated as it says."""
    state = AdapterState({"head.b": np.zeros(1, np.float32)})
    best = None
    for number, scores in enumerate(rounds, 1):
        run_state = RunState(ServerState(state, {}, number), best=best)
        best = closed(Round(number, 1, [], answers(scores)), answers(scores), run_state, lambda *shown: None)
    return best


GOOD, BAD = spans(8, 2, 2), spans(2, 8, 8)


@pytest.mark.parametrize(("in_bad", "in_good"), [(spans(10**6), spans(0, 10**6, 1)), (spans(1000), spans(0, 1000, 0))])
def test_one_liar_of_five_cannot_choose_the_best_round(in_bad: SpanCounts, in_good: SpanCounts) -> None:
    def lied(honest: SpanCounts, claimed: SpanCounts) -> dict[str, SpanCounts]:
        return {**dict.fromkeys("abcd", honest), "e": claimed}

    for rounds, chosen in (
        ([lied(BAD, in_bad), lied(GOOD, in_good)], 2),
        ([lied(GOOD, in_good), lied(BAD, in_bad)], 1),
    ):
        best = best_of(rounds)
        assert best is not None
        assert (best.round, best.over) == (chosen, "median over clinics")
    merged_scores = [merged(each).score for each in (lied(BAD, in_bad), lied(GOOD, in_good))]
    assert merged_scores[0] > merged_scores[1], "the merged score would have chosen the other"


def test_of_two_clinics_the_merged_counts_decide() -> None:
    two = {"a": spans(9, 1, 1), "b": spans(0, 90, 90)}
    assert validation_score(answers(two)) == (merged(two).score, "")
