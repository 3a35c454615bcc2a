"""What every task must do: from notes to counts, on the wire, in the record and under a site's rule."""

from itertools import islice
from typing import Any

import pytest
import torch

from clinfed import protocol
from clinfed.adapters.lora import Lora
from clinfed.bases import Base, load_tokenizer
from clinfed.corpus.note import Note
from clinfed.corpus.synthetic import generate
from clinfed.evaluation.base import refuse_incomplete
from clinfed.evaluation.small_cells import Rule
from clinfed.tasks.base import Task
from clinfed.training.model import build
from clinfed.training.predict import predict_rows
from clinfed.training.settings import Training
from configs import discovery

NOTES = [
    Note(f"n{number}", note.text, note.spans, language="es" if number else "de", patient=f"p{number}")
    for number, note in enumerate(islice((note for note in generate() if note.spans), 6))
]
CODES = sorted({span.code for note in NOTES for span in note.spans})
KEY = (protocol.FEDERATED, protocol.ALL_GOLD)


@pytest.fixture(scope="module", params=discovery.options("task"))
def task(request: pytest.FixtureRequest) -> Task:
    made: Task = discovery.plugin_class("task", request.param)()
    return made


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(Base())


@pytest.fixture(scope="module")
def model(task: Task) -> Any:
    return build(Base(), Lora(r=1), task, len(CODES), seed=0)


@pytest.fixture(scope="module")
def examples(task: Task, tokenizer: Any) -> Any:
    return task.encode(NOTES, tokenizer, CODES, window=64, stride=16)


@pytest.fixture(scope="module")
def predicted(task: Task, model: Any, examples: Any) -> dict[str, Any]:
    found = predict_rows(model, task, examples.notes, examples.rows, CODES, Training(), pad_id=0)
    return {note.id: each for note, each in zip(NOTES, found, strict=True)}


def test_its_loss_can_be_learnt_from(task: Task, model: Any, examples: Any) -> None:
    assert [note["id"] for note in examples.notes] == [note.id for note in NOTES]
    loss = task.loss(model, task.collate(examples.rows, [0, 1], pad_id=0))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in model.parameters())


def test_its_counts_travel_and_add_up(task: Task, predicted: dict[str, Any]) -> None:
    golds = task.golds(NOTES, CODES)
    assert sorted(golds) == sorted(task.gold_names)
    for counts in task.count(golds, predicted).values():
        assert isinstance(counts, task.counts)
        arrays, names = protocol.counts_to_wire({KEY: counts})
        sent = protocol.counts_from_wire(arrays, names, task.counts)[KEY]
        assert _content(sent) == _content(counts) == _content(task.counts() + counts)
        counts.check(replicates=0, shared=None)


def test_counts_of_two_clinics_are_those_of_one_place(task: Task, predicted: dict[str, Any]) -> None:
    def counted(notes: list[Note]) -> Any:
        return task.count(task.golds(notes, CODES), {note.id: predicted[note.id] for note in notes})["all"]

    merged, whole = counted(NOTES[:2]) + counted(NOTES[2:]), counted(NOTES)
    assert (merged.measures(), merged.score) == (whole.measures(), whole.score)


def test_its_evaluation_has_every_key(task: Task) -> None:
    refuse_incomplete(task.counts)


def test_a_rule_hides_what_few_patients_have(task: Task, predicted: dict[str, Any]) -> None:
    golds = task.golds(NOTES, CODES)

    def named(rule: Rule | None) -> set[str]:
        counted = task.count(golds, predicted, rule=rule).values()
        return {
            name for each in counted for names in each.to_arrays().values() if isinstance(names, list) for name in names
        }

    assert "de" in named(None)  # of one patient
    assert not named(Rule(frozenset(CODES), 7)) - {"", "other"}  # nothing is of seven of the six
    assert "de" not in named(Rule(frozenset(CODES), 2))


def test_rows_of_codes_are_rows_of_the_head(task: Task, model: Any, examples: Any) -> None:
    for name, parameter in model.head.named_parameters():
        rows = task.label_rows(name, torch.arange(len(CODES)))
        assert rows is None or (rows.numel() and int(rows.min()) >= 0 and int(rows.max()) < len(parameter))
    kept = task.without_codes(examples.rows, {0}, len(CODES))
    assert torch.isfinite(task.loss(model, task.collate(kept, [0, 1], pad_id=0)))
    names = [name for name, _ in model.head.named_parameters()]
    for name, held in task.held_rows(kept, names).items():
        frozen = task.label_rows(name, torch.tensor([0]))
        assert frozen is not None
        assert not set(frozen.tolist()) & set(held.tolist()), name  # a rare code's row has no example left


def _content(counts: Any) -> Any:
    arrays, names = protocol.counts_to_wire({KEY: counts})
    return {name: each.tolist() for name, each in arrays.items()}, names
