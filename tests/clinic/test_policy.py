"""What a site's policy refuses, and what a curious coordinator can no longer tell from an update."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import clinfed.clinic.cache
from clinfed import fingerprints, protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state
from clinfed.clinic import answers, permissions
from clinfed.clinic.cache import WorkerCache, checked_clinic
from clinfed.clinic.data import Clinic
from clinfed.clinic.policy import Policy, rare_codes, rounded
from clinfed.clinic.site import Site, of_node, read
from clinfed.clinic.work import against_both, train_round
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.refusals import RefusedError
from clinfed.runs.backend import Failed
from clinfed.training.frozen_rows import without_rows
from configs import load

CODES = tuple(f"{letter}{number:02d}" for letter in "ABCDEF" for number in range(10))
FREQUENT, RARE = 12, 12  # codes of many patients at each site, and of one or two
PATIENTS = 30


def site_notes(seed: int) -> tuple[list[Note], set[int], set[int]]:
    """Return a site's notes, one a patient, and the numbers of its rare and of its absent codes."""
    draw = Random(f"site {seed}")
    order = draw.sample(range(len(CODES)), len(CODES))
    often, seldom, absent = order[:FREQUENT], order[FREQUENT : FREQUENT + RARE], set(order[FREQUENT + RARE :])
    held: list[list[int]] = [draw.sample(often, 4) for _ in range(PATIENTS)]
    for code in seldom:
        for patient in draw.sample(range(PATIENTS), draw.choice((1, 2))):
            held[patient].append(code)
    return [_note(f"{seed}-{number}", codes) for number, codes in enumerate(held)], set(seldom), absent


def _note(name: str, codes: list[int]) -> Note:
    text, spans = "Control de", []
    for code in codes:
        start = len(text) + 1
        text += f" mal{CODES[code].lower()}"
        spans.append(Span(((start, len(text)),), CODES[code]))
        text += " y bien"
    return Note(f"train-{name}", text, tuple(spans), "es", f"p{name}", split="train")


def clinic_of(notes: list[Note], policy: Policy | None) -> Clinic:
    threshold = policy.small_cell_threshold if policy else 0
    return Clinic("north", notes, CODES, 1.0, small_cell_threshold=threshold, policy=policy, bootstrap_key="secret")


@pytest.fixture
def cache_of(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that makes a worker's cache for a run on the small base."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))

    def make(*overrides: str) -> WorkerCache:
        common = [each for each in world.site_overrides if "adapter=full" not in overrides or each != "adapter.r=4"]
        return WorkerCache([*common, "training.batch_notes=4", "rounds=1", *overrides])

    return make


def moved(cache: WorkerCache, clinic: Clinic, name: str) -> Any:
    """Return how far one round of training has moved each number of a tensor of the head."""
    before = read_state(cache.tagger(len(CODES)))
    _, payload = train_round(cache, clinic, Payload(before), 1)
    after = payload.adapter[name]
    cache._encoded.clear()
    return after - before[name]


def area(held: Any, absent: Any) -> float:
    """Return the AUC: how probably a held code scores above an absent one, a tie counting one half."""
    higher = held[:, None] > absent[None, :]
    return float((higher + 0.5 * (held[:, None] == absent[None, :])).mean())


def areas(cache: WorkerCache, name: str, policy: Policy | None, sites: int) -> Any:
    """Return each site's AUC of the attack that reads the signs and sizes of the moved biases."""
    found = []
    for seed in range(sites):
        notes, rare, absent = site_notes(seed)
        change = moved(cache, clinic_of(notes, policy), name)
        change = change.reshape(len(CODES), -1).max(1) if len(change) == len(CODES) else change[1::2]
        found.append(area(change[sorted(rare)], change[sorted(absent)]))
    return np.array(found)


@pytest.mark.parametrize(
    ("task", "name"), [("jerl_factored", "head.code.bias"), ("jerl", "head.tag.bias"), ("document", "head.3.bias")]
)
def test_rows_of_the_head_do_not_tell_a_single_patients_codes_from_absent_ones(
    cache_of: Any, task: str, name: str
) -> None:
    cache = cache_of(f"task={task}")
    sites = 20 if task == "jerl_factored" else 4
    open_to_all = areas(cache, name, None, sites)
    assert open_to_all.mean() >= 0.8  # else the attack is too weak to show anything
    closed = areas(cache, name, Policy(), sites)
    half = 1.96 * closed.std(ddof=1) / np.sqrt(sites)
    assert closed.mean() - half <= 0.5 <= closed.mean() + half


def test_frequent_codes_are_still_learnt(cache_of: Any) -> None:
    notes, rare, absent = site_notes(0)
    change = moved(cache_of(), clinic_of(notes, Policy()), "head.code.weight")
    still = np.flatnonzero(~np.any(change, axis=1))
    assert set(still.tolist()) == rare | absent


def test_frozen_rows_have_no_gradient_whatever_a_strategy_adds() -> None:
    found, rows = torch.tensor([[1.0], [2.0], [3.0]]), {"head.code.weight": torch.tensor([0, 2])}
    doubled = without_rows(lambda name, gradient, weight: 2 * gradient, rows)
    assert doubled("head.code.weight", found, found).tolist() == [[0.0], [4.0], [0.0]]
    assert doubled("head.mention.weight", found, found).tolist() == [[2.0], [4.0], [6.0]]
    assert without_rows(None, rows)("head.code.weight", found, found).tolist() == [[0.0], [2.0], [0.0]]


def test_a_policy_without_a_threshold_freezes_nothing(cache_of: Any) -> None:
    cache = cache_of()
    notes, _, _ = site_notes(0)
    without = moved(cache, clinic_of(notes, None), "head.code.weight")
    cache = cache_of()
    floorless = replace(Policy(), small_cell_threshold=0)
    assert np.array_equal(moved(cache, clinic_of(notes, floorless), "head.code.weight"), without)


def test_fedrows_tells_no_rare_code_either(cache_of: Any) -> None:
    notes, rare, absent = site_notes(0)
    change = moved(cache_of("strategy=fedrows"), clinic_of(notes, Policy()), "head.code.bias")
    assert not change[sorted(rare | absent)].any()


@pytest.mark.parametrize(
    ("floor", "setting"), [({"least_notes": 31}, "least_notes"), ({"least_patients": 31}, "least_patients")]
)
def test_too_few_notes_or_patients_send_no_update(floor: dict[str, int], setting: str) -> None:
    notes, _, _ = site_notes(0)
    checked_clinic(clinic_of(notes, Policy()))
    with pytest.raises(RefusedError, match=f"the policy asks for {floor[setting]}") as caught:
        checked_clinic(clinic_of(notes, replace(Policy(), **floor)))
    assert caught.value.setting == setting


def test_one_large_batch_a_round_is_refused(cache_of: Any) -> None:
    notes, _, _ = site_notes(0)
    with pytest.raises(RefusedError, match="1 steps a round, the policy asks for 5"):
        moved(cache_of("training.batch_notes=64"), clinic_of(notes, Policy()), "head.code.bias")


@pytest.mark.parametrize("overrides", [["adapter=full"], ["adapter.target_modules=[tok_embeddings]"]])
def test_no_run_trains_the_embeddings(cache_of: Any, overrides: list[str]) -> None:
    notes, _, _ = site_notes(0)
    with pytest.raises(RefusedError, match="the policy keeps embeddings frozen") as caught:
        moved(cache_of(*overrides), clinic_of(notes, Policy()), "head.code.bias")
    assert caught.value.setting == "embeddings"


def test_full_training_is_refused_before_a_note_is_opened() -> None:
    site = Site(notes="/notes", policy=Policy())
    with pytest.raises(RefusedError, match="adapter=full, which trains the embeddings"):
        permissions.admit_run(site, ["adapter=full"], load(["adapter=full"]))
    permissions.admit_run(replace(site, policy=Policy(embeddings=True)), ["adapter=full"], load(["adapter=full"]))


def test_a_default_site_refuses_one_note_a_step_with_trained_embeddings(tmp_path: Path) -> None:
    asked = ["adapter=full", "training.batch_notes=1"]  # moved embedding rows would be the note's sub-words
    site = read(settings_file(tmp_path))
    with pytest.raises(RefusedError) as caught:
        permissions.admit_run(site, asked, load(asked))
    assert caught.value.setting == "embeddings"
    open_site = read(settings_file(tmp_path, "[policy]", "embeddings = true"))
    permissions.admit_run(open_site, asked, load(asked))


@pytest.mark.parametrize("test_evaluation", [False, True])
def test_codes_are_named_at_the_test_evaluation_only(test_evaluation: bool) -> None:
    notes, rare, _ = site_notes(0)
    clinic, nothing = clinic_of(notes, Policy()), {note.id: () for note in notes}
    task = load([]).task
    counts = against_both(task, clinic, "federated", notes, nothing, test_evaluation=test_evaluation, replicates=False)[
        "federated", protocol.ALL_GOLD
    ]
    named = {code for _, code in counts.by_code} - {"other"}
    assert counts.micro().support == sum(len(note.spans) for note in notes)
    assert not named & {CODES[code] for code in rare}
    assert bool(named) == test_evaluation


def test_replicates_are_drawn_from_twenty_patients_or_more() -> None:
    notes, _, _ = site_notes(0)
    for patients, drawn in ((19, False), (20, True)):
        few = notes[:patients]
        options = {"test_evaluation": True, "replicates": True}
        counts = against_both(
            load([]).task, clinic_of(few, Policy()), "federated", few, {each.id: () for each in few}, **options
        )
        rows = counts["federated", protocol.ALL_GOLD].replicates["es"]
        assert (len(np.unique(rows, axis=0)) > 1) == drawn


def test_rare_and_absent_codes_are_alike() -> None:
    notes, rare, absent = site_notes(3)
    assert rare_codes(notes, CODES, 5) == rare | absent


def test_a_report_tells_no_notes_length() -> None:
    report = {"tokens": 123_456, "padded_tokens": 98, "loss": 0.123456, "steps": 17, "training_peak_bytes": 1_999_999}
    assert rounded(report) == {**report, "tokens": 120_000, "training_peak_bytes": 2_000_000}


def settings_file(folder: Path, *lines: str) -> Path:
    path = folder / "site.toml"
    head = ['name = "north"', 'notes = "/notes"', f'allowed_code = ["{fingerprints.code()}"]']
    path.write_text("\n".join([*head, *lines]) + "\n", "utf-8")
    return path


def test_a_site_writes_its_policy_as_a_table(tmp_path: Path) -> None:
    site = read(settings_file(tmp_path, "[policy]", "least_notes = 50"))
    assert site.policy == Policy(least_notes=50)
    assert site.least_in_a_cell == 5
    assert read(settings_file(tmp_path, "small_cell_threshold = 9", "[policy]")).least_in_a_cell == 9


def test_a_site_with_a_file_has_the_default_policy_until_it_writes_another(tmp_path: Path) -> None:
    assert read(settings_file(tmp_path)).policy == Policy()
    loose = "least_notes = 0\nleast_patients = 0\nleast_steps = 0\nsmall_cell_threshold = 0\nreplicates = 0"
    site = read(settings_file(tmp_path, "[policy]", loose))
    assert site.policy == Policy(0, 0, 0, 0, 0)
    assert of_node({"notes": "/notes"}).policy is None


def test_a_trial_says_once_that_no_policy_applies(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    node_config = {"notes": str(world.site_notes("ca")), "labels": str(world.labels), "name": "north"}
    cache = WorkerCache(world.site_overrides)
    for _ in range(2):
        assert cache.clinic(node_config).policy is None
    assert capsys.readouterr().err.count("clinfed | no policy: ") == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[policy]\nleast_note = 3", "least_note is not a setting; did you mean least_notes?"),
        ("[policy]\nleast_notes = -3", "least_notes is -3, expected a whole number from 0"),
        ("[policy]\nembeddings = 1", "embeddings is 1, expected true or false"),
        ('policy = "open"', "policy is 'open', expected a table"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(tmp_path: Path, line: str, found: str) -> None:
    with pytest.raises(UserError) as caught:
        read(settings_file(tmp_path, line))
    assert found in str(caught.value)


def test_a_simulation_applies_a_sites_policy_where_it_is_asked_to(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    node = {"partition-id": 0, "num-partitions": 2}
    assert clinfed.clinic.cache.WorkerCache(world.overrides).clinic(node).policy is None
    with pytest.raises(
        RefusedError, match="9 patients, the policy asks for 10"
    ):  # of 32, in three splits and two parts
        clinfed.clinic.cache.WorkerCache([*world.overrides, "policy=site"]).clinic(node)


@pytest.mark.parametrize("policy", [False, True])
def test_a_sites_answer_is_rounded_under_a_policy(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: bool
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)
    table = "[policy]\nleast_notes = 0\nleast_patients = 0"
    path = settings_file(tmp_path, f'labels = "{world.labels}"', table)
    path.write_text(path.read_text().replace('"/notes"', f'"{world.site_notes("ca")}"'))
    trial = {"notes": str(world.site_notes("ca")), "labels": str(world.labels), "name": "north"}
    node_config, overrides = {"settings": str(path)} if policy else trial, world.site_overrides
    cache = clinfed.clinic.cache.worker_cache(overrides)
    tensors = answers._write_adapter(read_state(cache.tagger(len(cache.clinic(node_config).codes))))
    asked = {"round": 1, "split": "", "test_evaluation": False, "replicates": False, "wire": WIRE_VERSION}
    asked |= {"nonce": 32 * "1", protocol.RUN_KEY: 32 * "a", protocol.STATE_ROUND: 0}
    content = {protocol.ADAPTER: tensors, protocol.QUESTION: asked}
    answer = answers.answer(protocol.TRAIN, content, node_config, overrides)
    answers.forget()
    assert not isinstance(answer, Failed)
    digits = str(answer[protocol.REPORT]["tokens"])
    assert len(digits) > 2
    assert (set(digits[2:]) == {"0"}) == policy
