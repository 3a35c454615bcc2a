"""Hellos that are not built as agreed: each is refused and named, and the honest clinics go on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinfed.evaluation.report import holdings
from clinfed.protocol import HELLO, IDENTITY, REPORT, Reason, Refused
from server.admission import Admission
from server.coordinator import describe
from server.federation import Federation
from server.wire import exchange
from server.wire.hello import MOST_NAMES, MOST_NOTES, TEXT

LIAR = "clinic-3"
HONEST = ["clinic-1", "clinic-2", "clinic-4", "clinic-5"]
DIGITS = "1" * 400
Change = Callable[[RecordDict], None]


def gathered(table: Any, change: Change) -> tuple[Federation, list[Refused]]:
    """Return who takes part where one clinic's hello is changed, and who is left out."""

    def tamper(kind: str, reply: Message) -> Message:
        if kind == HELLO and reply.content[IDENTITY]["clinic"] == LIAR:
            change(reply.content)
        return reply

    run = replace(table.run, wait_for_clients=replace(table.run.wait_for_clients, minimum=4))
    admission = Admission(table.exchange(tamper), run)
    return admission.open(lambda: table.model.fingerprints), admission.take_refused()


def text(key: str, value: Any) -> Change:
    def change(content: RecordDict) -> None:
        content[IDENTITY][key] = value

    change.__name__ = f"{key}_{value!r}"[:40]
    return change


def in_manifest(key: str, value: Any) -> Change:
    """Return what puts a value into the manifest, whose JSON may hold what json itself would not write."""

    def change(content: RecordDict) -> None:
        before = content[IDENTITY].get("manifest")
        if not (isinstance(before, str) and before.startswith('{"chapters"')):
            return  # an earlier mutation has been here
        manifest = json.loads(before) | {key: "HERE"}
        written = value if isinstance(value, str) else json.dumps(value)
        content[IDENTITY]["manifest"] = json.dumps(manifest).replace('"HERE"', written)

    change.__name__ = f"{key}={value!r}"[:40]
    return change


def figure(name: str, value: float) -> Change:
    def change(content: RecordDict) -> None:
        content[REPORT][name] = value

    change.__name__ = f"{name}_{value}"
    return change


def without(name: str) -> Change:
    def change(content: RecordDict) -> None:
        content[IDENTITY].pop(name, None)

    change.__name__ = f"without_{name}"
    return change


MALFORMED = [
    text("manifest", "{}"),
    text("manifest", ""),
    text("manifest", "[]"),
    text("manifest", "[" * 100_000),
    text("manifest", f'{{"notes": {DIGITS}}}'),
    text("manifest", " " * (TEXT + 1)),
    in_manifest("notes", DIGITS),
    in_manifest("notes", "1e400"),
    in_manifest("notes", "NaN"),
    in_manifest("mentions", "true"),
    in_manifest("canarytext", 1),
    in_manifest("chapters", {r"$\frac$": 1}),
    in_manifest("chapters", {"<script>": 1}),
    in_manifest("chapters", f'{{"I": {DIGITS}}}'),
    in_manifest("chapters", [1]),
    in_manifest("languages", {"e\x1bs": 1}),
    in_manifest("languages", {"e" * 81: 1}),
    in_manifest("languages", {str(number): 1 for number in range(MOST_NAMES + 1)}),
    in_manifest("splits", {"canarytext": 1}),
    in_manifest("splits", {"train": 1}),  # does not add up to the notes
    in_manifest("patients", ["canarytext"]),
    in_manifest("patients", [16 * "0"] * 10_000),  # more than notes
    text("skipped", f'{{"reason": {DIGITS}}}'),
    text("skipped", '{"seconds_s": 0.5}'),
    text("skipped", "null"),
    text("unrepresentable", '{"canarytext": {}}'),
    text("unrepresentable", f'{{"train": {{"reason": {DIGITS}}}}}'),
    text("unrepresentable", '{"train": []}'),
    text("canarytext", "1"),
    text("fingerprint.canary text", "0" * 64),
    text("roots", "/" * 10_001),
    without("roots"),
    without("manifest"),
]
IMPOSSIBLE = [
    figure("train_notes", 10**9),
    figure("train_notes", MOST_NOTES),  # more than its manifest's split
    figure("train_windows", 10**9),
    figure("test_mentions", 10**9),
    figure("validation_mentions", 10**5),  # more than its manifest's mentions
    figure("nodes", 2**60),
]


@pytest.mark.parametrize("change", MALFORMED + IMPOSSIBLE, ids=lambda change: change.__name__)
def test_a_hello_that_is_not_built_as_agreed_is_refused_and_named_and_the_others_go_on(
    table: Any, change: Change
) -> None:
    federation, refused = gathered(table, change)
    assert [handle.clinic for handle in federation.handles] == HONEST
    [found] = refused
    assert found.clinic.startswith("of node ")  # its own word for itself is not repeated
    assert found.reason == str(Reason.FIGURES if change in IMPOSSIBLE else Reason.MALFORMED)


def test_an_honest_hello_is_taken(table: Any) -> None:
    federation, refused = gathered(table, lambda content: None)
    assert refused == []
    assert [handle.clinic for handle in federation.handles] == sorted([*HONEST, LIAR])


def test_a_manifest_without_patients_is_no_simulated_clinics(table: Any) -> None:
    # A real site names no patient, and says that it is not simulated.
    def real(content: RecordDict) -> None:
        manifest = json.loads(content[IDENTITY]["manifest"])
        del manifest["patients"]
        content[IDENTITY]["manifest"] = json.dumps(manifest)

    assert [each.reason for each in gathered(table, real)[1]] == [str(Reason.MALFORMED)]

    def real_node(content: RecordDict) -> None:
        real(content)
        content[REPORT]["nodes"] = 0

    federation, refused = gathered(table, real_node)
    assert refused == []
    assert len(federation.handles) == 5


NUMBERS = st.sampled_from(
    [DIGITS, "-1", "0", "1", "1.5", "1e400", "NaN", "Infinity", "true", "null", '"1"', str(10**9)]
)
NAMES = st.text(max_size=90) | st.sampled_from([r"$\frac$", "<b>", "I", "es", "", "train", "other", "a" * 81])


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON lists and objects of what inner writes."""
    lists = st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
    return lists | st.dictionaries(NAMES, inner, max_size=3).map(
        lambda each: "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in each.items()) + "}"
    )


JSON = NUMBERS | nested(NUMBERS) | nested(nested(NUMBERS))
PLAIN = st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans() | st.binary(max_size=9)
KEYS = ["notes", "mentions", "languages", "chapters", "splits", "patients"]


@st.composite
def mutations(draw: st.DrawFn) -> Change:
    """Return a change to one place of a hello: a figure, a text, a name, or something inside its JSON."""
    kind = draw(st.sampled_from(["figure", "text", "json", "manifest", "manifest", "drop"]))
    if kind == "figure":
        names = ["train_notes", "test_notes", "train_windows", "validation_mentions", "nodes", "load_s", "base_loads"]
        value = draw(st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from([0, 1, 10**9]))
        return figure(draw(st.sampled_from([*names, "canarytext"])), value)
    texts = ["manifest", "unrepresentable", "skipped"]
    if kind == "json":
        return text(draw(st.sampled_from(texts)), draw(JSON))
    if kind == "manifest":
        return in_manifest(draw(st.sampled_from(KEYS) | NAMES), draw(JSON))
    name = draw(st.sampled_from([*texts, "roots", "worker", "wire", "code", "fingerprint.code", "fingerprint.base"]))
    if kind == "drop":
        return without(name)
    return text(draw(NAMES) if draw(st.booleans()) else name, draw(PLAIN))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutations(), min_size=1, max_size=2))
def test_a_mutated_hello_never_ends_a_run_nor_its_pictures(table: Any, changes: list[Change]) -> None:
    def mutate(content: RecordDict) -> None:
        for change in changes:
            change(content)

    federation, refused = gathered(table, mutate)
    assert {handle.clinic for handle in federation.handles} >= set(HONEST)
    assert len(federation.handles) + federation.sitting_out + len(refused) == 5
    assert "canary" not in describe(federation)
    json.dumps(federation.manifest, allow_nan=False)
    assert sum(holdings.shares(federation.manifest, "chapters").get("I", [0])) < 10**12


def test_mutations_reach_every_kind_of_fault(table: Any) -> None:
    # The property above would be empty if all mutations were refused alike, or none was.
    seen = set()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(mutations())
    def look(change: Change) -> None:
        _, refused = gathered(table, change)
        seen.add(refused[0].reason.split(" is ")[0] if refused else "accepted")

    look()
    assert {"accepted", str(Reason.FIGURES)} <= seen
    assert any(str(Reason.MALFORMED).startswith(each) for each in seen)


@pytest.mark.parametrize("step", ["to_state", "to_counts", "to_answer"])
def test_an_exception_of_ours_is_that_answers_fault_and_not_the_runs_end(
    table: Any, step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    honest = getattr(exchange, step)

    def surprised(content: Any, *rest: Any) -> Any:
        if content[IDENTITY]["clinic"] == LIAR:
            raise ZeroDivisionError("canarytext")
        return honest(content, *rest)

    monkeypatch.setattr(exchange, step, surprised)
    done = table.train(lambda kind, reply: reply)
    assert done.refused == [Refused(LIAR, str(Reason.MALFORMED))]
    assert [answer.clinic for answer in done.trained] == HONEST
    assert f"clinic {LIAR}: its answer raised ZeroDivisionError at {__file__}:" in caplog.text
    assert "canarytext" not in caplog.text


def test_a_picture_that_cannot_be_drawn_costs_no_record(
    run_locally: Any, world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(manifest: Any, path: Path) -> None:
        assert (path.parent / "record.json").is_file(), "the record comes first"
        raise ValueError("canarytext")

    monkeypatch.setattr(holdings, "draw", broken)
    record, _ = run_locally([*world.overrides, "rounds=1"])
    assert record["adapter_sha256"]
    said = capsys.readouterr().out
    assert "holdings.svg is not drawn (ValueError); the record is whole" in said
    assert "canarytext" not in said
