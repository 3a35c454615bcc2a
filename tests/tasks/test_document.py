"""Codes of whole notes: examples, loss and predictions, worked by hand; a federation of them, end to end."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.report.tables import round_line, table_on_test
from clinfed.runs.record import summary
from clinfed.tasks.document import FIRST_BIAS, Document

CODES = ("E11.9", "I10")


def note(*codes: str) -> Note:
    return Note("a", "Pacient amb asma.", tuple(Span(((i, i + 1),), code) for i, code in enumerate(codes)))


def test_a_new_classifier_holds_every_code_for_rare(tokenizer: Any) -> None:
    task = Document(hidden=0)
    rows = task.encode([note("I10"), note()], tokenizer, CODES, window=16, stride=4).rows
    vectors = [{**row, "vector": np.zeros(3, np.float32)} for row in rows]
    model: Any = SimpleNamespace(head=task.head(3, 2))
    loss = task.loss(model, task.collate(vectors, [0, 1], pad_id=0))
    missed, right = -math.log(1 / (1 + math.exp(-FIRST_BIAS))), -math.log(1 / (1 + math.exp(FIRST_BIAS)))
    assert loss.item() == pytest.approx((missed + 3 * right) / 2)  # summed over codes, a mean over notes


def test_a_code_outside_the_list_is_no_target_and_is_counted_as_lost(tokenizer: Any) -> None:
    examples = Document().encode([note("I10", "I10", "Z99")], tokenizer, CODES, window=16, stride=4)
    assert examples.rows[0]["codes"] == [1]
    assert examples.unrepresentable == {"code outside the label map": 1}
    assert not Document().encode([], tokenizer, CODES, window=16, stride=4).rows


def test_predictions_are_codes_with_their_probabilities_by_note() -> None:
    task = Document()
    outputs = [([1], np.array([[0.04, 0.75]])), ([0], np.array([[0.05, 0.0]]))]
    found = task.decode([{"id": "a"}, {"id": "b"}], [{"note": 0}, {"note": 1}], outputs, CODES)
    assert found == [{"E11.9": 0.05}, {"I10": 0.75}]


def test_windows_of_a_batch_are_pooled_note_by_note(tokenizer: Any) -> None:
    task = Document()
    texts = ["asma", "Pacient amb asma i tos. " * 9]
    rows = task.encode([Note(text, text) for text in texts], tokenizer, CODES, window=16, stride=4).rows
    batch = task.collate(rows, [0, 1], pad_id=0)
    assert batch.owners.tolist() == [0, *[1] * (len(batch.owners) - 1)]
    encoder = lambda input_ids, attention_mask: SimpleNamespace(last_hidden_state=input_ids.unsqueeze(-1))  # noqa: E731
    vectors = task.vectors(SimpleNamespace(encoder=encoder), batch)  # type: ignore[arg-type]
    means = [np.mean(row["input_ids"]) for row in rows]
    assert vectors[:, 0].tolist() == pytest.approx(means)
    assert isinstance(vectors, torch.Tensor)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_federation_of_documents_ends_with_a_table_in_their_own_unit(
    adapter: str, world: Any, run_locally: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [each for each in world.overrides if not each.startswith("adapter.")]
    more = ["task=document", "task.hidden=8", f"adapter={adapter}", "rounds=3", "training.learning_rate=0.01"]
    record, grid = run_locally([*overrides, *more])
    evaluated = record["test"]["federated"]["all"]
    assert record["test"].keys() == {"federated"}  # a lexicon's spans are no codes of notes
    assert evaluated["unit"] == "codes of whole notes"
    assert evaluated["micro"]["tp"] > 0
    assert record["rounds"][-1]["loss"] < 0.8 * record["rounds"][0]["loss"]
    assert "F1 ." in round_line(record["rounds"][-1])
    assert "Counted: codes of whole notes. Not comparable with strict spans." in table_on_test(record)
    assert summary(record, tmp_path)["unit"] == "codes of whole notes"
    sent = {name.split(".")[0] for name in _sent(grid)}
    assert sent == ({"head"} if adapter == "none" else {"encoder", "head"})


def _sent(grid: Any) -> list[str]:
    from clinfed import protocol
    from clinfed.adapters.codec import WIRE_VERSION, decode

    reply = next(each for each in grid.received if protocol.ADAPTER in each.content)
    return list(decode(reply.content[protocol.ADAPTER][protocol.TENSORS].data, version=WIRE_VERSION))
