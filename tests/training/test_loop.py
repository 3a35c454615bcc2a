"""The training loop on a small random base: it learns, repeats bit for bit, and rounds cost only a new optimiser."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinfed.adapters.base import Adapter
from clinfed.adapters.full import Full
from clinfed.adapters.lora import Lora
from clinfed.adapters.qlora import Qlora
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import read_state, trainable_parameters, write_state
from clinfed.baselines.gazetteer import GazetteerFeatures
from clinfed.baselines.lexicon import Lexicon
from clinfed.bases import Base
from clinfed.tasks.base import Task
from clinfed.tasks.tagging.factored import JerlFactored
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training import loop
from clinfed.training.encoded import Encoded, encode_notes
from clinfed.training.loop import frozen, held_rows, train
from clinfed.training.model import Tagger, build, trainable_weights
from clinfed.training.predict import predict
from clinfed.training.schedules import Epochs, learning_rate_at
from clinfed.training.settings import Training
from strategies.fedprox import FedProx
from tests.training.invented import CODES, invented_notes

ADAPTERS = {"lora": Lora(r=8), "qlora": Qlora(r=8), "full": Full()}


@pytest.fixture
def encoded(tokenizer, tmp_path: Path) -> Encoded:
    return encode_notes(Jerl(), invented_notes(96), tokenizer, CODES, window=32, stride=8, cache=tmp_path / "cache")


SETTINGS = Training(learning_rate=5e-3, batch_notes=8, window=32, stride=8)


def make(base: Base, adapter: Adapter, task: Task, seed: int = 0) -> Tagger:
    return build(base, adapter, task, len(CODES), seed=seed)


def run(
    tagger: Tagger,
    task: Task,
    encoded: Encoded,
    *,
    epochs: range = range(2),
    total: int = 2,
    part: tuple[int, int] = (0, 1),
    mu: float = 0.0,
):
    before = {name: each.detach().clone() for name, each in trainable_parameters(tagger)} if mu else {}

    def pull(name: str, gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return FedProx(mu).gradient(name, gradient, weight, {"adapter": before[name]}, {})

    options = {"seed": 0, "clinic": "pooled", "pad_id": 0, "gradient": pull if mu else None}
    return train(tagger, task, encoded, SETTINGS, epochs=Epochs(epochs, total, *part), **options)


@pytest.mark.parametrize("task", [JerlFactored(), Jerl()], ids=["factored", "flat"])
def test_a_small_model_learns_the_task(task: Task, small_base: Callable[..., Base], encoded: Encoded):
    tagger = make(small_base(), Full(), task)
    run(tagger, task, encoded, epochs=range(8), total=8)
    found = predict(tagger, task, encoded, CODES, SETTINGS, pad_id=0)
    gold = {note.id: set(note.spans) for note in invented_notes(96)}
    hits = sum(len(found[i].keys() & gold[i]) for i in gold)
    assert hits / sum(map(len, gold.values())) > 0.9  # the commonest form alone would find 1/3 at most


@pytest.mark.parametrize("task", [JerlFactored(lexicon=True), Jerl(lexicon=True)], ids=["factored", "flat"])
def test_before_training_a_hinted_head_says_what_the_lexicon_says(
    task: Task, small_base: Callable[..., Base], tokenizer, tmp_path: Path
):
    notes = invented_notes(64)
    features = GazetteerFeatures(notes[:32])
    options = {
        "window": 32,
        "stride": 8,
        "cache": tmp_path / "cache",
        "feature": features.of,
        "feature_key": features.key,
    }
    unseen = encode_notes(Jerl(), notes[32:], tokenizer, CODES, **options)
    tagger = make(small_base(), Lora(r=8), task)
    with torch.no_grad():
        for name, part in tagger.head.items():
            if "hint" not in name and name != "dropout":
                part.weight.zero_()
                part.bias.zero_()
    found = predict(tagger, task, unseen, CODES, SETTINGS, pad_id=0)
    lexicon = Lexicon.fit(notes[:32])
    assert {i: list(spans) for i, spans in found.items()} == {
        note.id: lexicon.predict(note.text) for note in notes[32:]
    }
    assert sum(map(len, found.values())) > 20


def test_a_cache_is_another_with_other_hints(tokenizer, tmp_path: Path):
    notes = invented_notes(40)
    options = {"window": 32, "stride": 8, "cache": tmp_path}
    plain = encode_notes(Jerl(), notes[30:], tokenizer, CODES, **options)
    features = GazetteerFeatures(notes[:30])
    featured = encode_notes(
        Jerl(), notes[30:], tokenizer, CODES, feature=features.of, feature_key=features.key, **options
    )
    assert not any(any(row["features"]) for row in plain.rows)
    assert any(any(row["features"]) for row in featured.rows)


@pytest.mark.parametrize("method", ADAPTERS)
def test_training_repeats_bit_for_bit(method: str, small_base: Callable[..., Base], encoded: Encoded):
    states = []
    for _ in range(2):
        tagger = make(small_base(), ADAPTERS[method], JerlFactored())
        run(tagger, JerlFactored(), encoded)
        states.append(read_state(tagger).sha256())
    assert states[0] == states[1]


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_state_carries_a_round_to_another_warm_model(method: str, small_base: Callable[..., Base], encoded: Encoded):
    """One round at a clinic, whose warm model held another adapter before, equals the plain loop bit for bit."""
    task = JerlFactored()
    plain = make(small_base(), ADAPTERS[method], task)
    first = read_state(plain)
    run(plain, task, encoded)
    warm = make(small_base(), ADAPTERS[method], task, seed=9)
    run(warm, task, encoded)
    write_state(warm, first)
    run(warm, task, encoded)
    assert read_state(warm).sha256() == read_state(plain).sha256() != first.sha256()


@pytest.mark.parametrize("task", [JerlFactored(), Jerl()], ids=["factored", "flat"])
def test_rows_of_tags_that_the_notes_do_not_hold_are_known(
    task: Task, small_base: Callable[..., Base], tokenizer, tmp_path: Path
):
    notes = [note for note in invented_notes(40) if all(span.code == "I10" for span in note.spans)]
    few = encode_notes(Jerl(), notes, tokenizer, CODES, window=32, stride=8, cache=tmp_path)
    tagger = make(small_base(), Lora(r=8), task)
    # I10 is the second code; the tags are O, B-I10 and I-I10.
    own = [1] if isinstance(task, JerlFactored) else sorted({tag for row in few.rows for tag in row["tags"]} - {-100})
    for name, array in read_state(tagger).items():
        rows = held_rows(tagger, task, few, name)
        if name.startswith(("head.code.", "head.tag.")):
            assert rows is not None
            assert (rows.shape, list(np.flatnonzero(rows))) == (array.shape[:1], own)
        else:
            assert rows is None, name


def test_rounds_continue_the_schedule(small_base: Callable[..., Base], encoded: Encoded):
    """Two rounds of one epoch see the notes and learning rates of one round of two: only the optimiser is new."""
    task = JerlFactored()
    tagger = make(small_base(), Lora(r=8), task)
    losses = [run(tagger, task, encoded, epochs=range(i, i + 1), total=2).loss for i in range(2)]
    whole = run(make(small_base(), Lora(r=8), task), task, encoded)
    assert losses[0] == pytest.approx(2 * whole.loss - losses[1], rel=0.2)
    assert losses[1] < losses[0]


def test_the_parts_of_an_epoch_train_on_its_batches_with_dropout_of_their_own(
    small_base: Callable[..., Base], encoded: Encoded, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[list[int], bytes, float]] = []

    class Recorded(JerlFactored):
        def collate(self, rows: Any, chosen: Sequence[int], pad_id: int) -> Any:
            seen.append((list(chosen), torch.get_rng_state().numpy().tobytes(), rates[-1]))
            return super().collate(rows, chosen, pad_id)

    rates: list[float] = []

    def rate(*args: Any) -> float:
        rates.append(learning_rate_at(*args))
        return rates[-1]

    monkeypatch.setattr(loop, "learning_rate_at", rate)
    tagger = make(small_base(), Lora(r=8), JerlFactored())
    run(tagger, Recorded(), encoded, epochs=range(1))
    whole = seen.copy()
    seen.clear()
    steps = [run(tagger, Recorded(), encoded, epochs=range(1), part=(part, 5)).steps for part in range(5)]
    assert steps == [2, 2, 3, 2, 3]  # of 12 batches
    assert [(rows, rate) for rows, _, rate in seen] == [(rows, rate) for rows, _, rate in whole]
    assert len({dropout for _, dropout, _ in seen}) == 12


def test_a_part_without_a_batch_changes_nothing(small_base: Callable[..., Base], encoded: Encoded):
    tagger = make(small_base(), Lora(r=8), JerlFactored())
    before = read_state(tagger).sha256()
    done = run(tagger, JerlFactored(), encoded, epochs=range(1), part=(0, 13))
    assert (done.steps, done.loss, read_state(tagger).sha256()) == (0, 0.0, before)


def test_the_proximal_term_holds_the_model_near_its_start(small_base: Callable[..., Base], encoded: Encoded):
    def distance(mu: float) -> float:
        tagger = make(small_base(), Lora(r=8), JerlFactored())
        before = read_state(tagger)
        run(tagger, JerlFactored(), encoded, mu=mu)
        after = read_state(tagger)
        return sum(float(np.square(after[name] - before[name]).sum()) for name in before)

    assert distance(10.0) < 0.5 * distance(0.0)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_masked_tensor_keeps_its_numbers_and_the_others_train(
    method: str, small_base: Callable[..., Base], encoded: Encoded
):
    tagger = make(small_base(), ADAPTERS[method], JerlFactored())
    before = read_state(tagger)
    with frozen(tagger, lambda name: ".lora_A." not in name):
        run(tagger, JerlFactored(), encoded, epochs=range(1))
    after = read_state(tagger)
    assert after.keys() == before.keys()
    assert {".lora_A." in name for name in before} == {True, False}
    for name in before:
        assert np.array_equal(after[name], before[name]) == (".lora_A." in name), name


def test_only_adapter_and_head_are_trained(small_base: Callable[..., Base]):
    state: AdapterState = read_state(make(small_base(), Lora(r=8), Jerl()))
    assert {name.split(".")[0] for name in state} == {"encoder", "head"}
    assert all("lora_" in name for name in state if name.startswith("encoder."))


def test_the_head_learns_at_its_factor_of_the_rate_and_the_adapter_at_the_rate(
    small_base: Callable[..., Base], encoded: Encoded
):
    # The first step of Adam moves each number by its learning rate, whatever the gradient is.
    task = JerlFactored(head_dropout=0.0)
    settings = Training(learning_rate=1e-4, head_factor=5.0, schedule="constant", weight_decay=0.0, window=32, stride=8)
    tagger = make(small_base(), Lora(r=8), task)
    before = read_state(tagger)
    train(tagger, task, encoded, settings, epochs=Epochs(range(1), 1, 0, 12), seed=0, clinic="pooled", pad_id=0)
    moved = {name: float(np.abs(array - before[name]).max()) for name, array in read_state(tagger).items()}
    assert moved["head.code.weight"] == pytest.approx(5e-4, rel=0.01)
    assert max(far for name, far in moved.items() if "lora_B" in name) == pytest.approx(1e-4, rel=0.01)


def test_plain_steps_go_along_the_clipped_gradient_by_each_parts_rate(
    small_base: Callable[..., Base], encoded: Encoded
):
    task = JerlFactored(head_dropout=0.0)
    settings = replace(SETTINGS, optimiser="sgd", learning_rate=0.5, schedule="constant", weight_decay=0.0)
    tagger = make(small_base(), Lora(r=8), task)
    before, seen = read_state(tagger), {}

    def record(name: str, gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        seen[name] = gradient.numpy().copy()
        return gradient

    options = {"seed": 0, "clinic": "pooled", "pad_id": 0, "gradient": record}
    done = train(tagger, task, encoded, settings, epochs=Epochs(range(1), 1, 0, 12), **options)
    assert done.steps == 1
    assert done.learning_rates == {"encoder": 0.5, "head": 2.5}
    norm = sum(float(np.square(each).sum()) for each in seen.values()) ** 0.5
    clipped = min(1.0, settings.clip_norm / norm)
    for name, after in read_state(tagger).items():
        step = done.learning_rates[name.split(".")[0]] * clipped * seen[name]
        np.testing.assert_allclose(after, before[name] - step, atol=1e-6)


def test_a_factor_of_one_is_one_learning_rate_for_all_bit_for_bit(
    small_base: Callable[..., Base], encoded: Encoded, monkeypatch: pytest.MonkeyPatch
):
    def one_group(tagger: Tagger, settings: Training) -> torch.optim.Optimizer:
        group = {"params": trainable_weights(tagger), "factor": 1.0}
        return torch.optim.AdamW([group], lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def trained(factor: float) -> str:
        tagger = make(small_base(), Lora(r=8), JerlFactored())
        settings = replace(SETTINGS, head_factor=factor)
        train(tagger, JerlFactored(), encoded, settings, epochs=Epochs(range(1), 1), seed=0, clinic="pooled", pad_id=0)
        return read_state(tagger).sha256()

    one, five = trained(1.0), trained(5.0)
    monkeypatch.setattr(loop, "optimiser_of", one_group)
    assert trained(1.0) == one != five


def test_a_step_of_fedprox_is_that_of_its_formula() -> None:
    """Away from its start, a parameter gets the gradient and mu times its distance, within float32's rounding."""
    generator = torch.Generator().manual_seed(0)
    gradient, weight, start = (torch.randn(64, 64, generator=generator) for _ in range(3))
    changed = FedProx(0.3).gradient("head.code.weight", gradient, weight, {"adapter": start}, {})
    expected = gradient.double() + 0.3 * (weight.double() - start.double())
    assert float((changed - expected).abs().max()) < 1e-6
