"""Codes that nobody has trained: which they are, and that they are not predicted."""

import pytest
import torch
from torch import nn

from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import read_state
from clinfed.tasks.document import Document
from clinfed.tasks.tagging.base import Tagging
from clinfed.tasks.tagging.factored import JerlFactored
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training.model import Tagger
from clinfed.training.untrained import first_prints, masked, untrained

HIDDEN, CODES = 4, 3
LAYERS = {Jerl: "tag", JerlFactored: "code"}


def tagger_of(task: Tagging | Document) -> Tagger:
    torch.manual_seed(0)
    return Tagger(nn.Identity(), task.head(HIDDEN, CODES)).eval()


def moved(tagger: Tagger, name: str, *rows: int) -> AdapterState:
    """Return the state after training has moved a number in each of these rows."""
    state = {key: array.copy() for key, array in read_state(tagger).items()}
    for row in rows:
        state[name][row] += 0.5
    return AdapterState(state)


@pytest.mark.parametrize(("task", "name", "rows"), [(Jerl(), "tag", (0, 3)), (JerlFactored(), "code", (1,))])
def test_a_code_is_untrained_while_all_its_rows_are_as_they_were_drawn(
    task: Tagging, name: str, rows: tuple[int]
) -> None:
    tagger = tagger_of(task)
    first = first_prints(tagger)
    for part in ("weight", "bias"):  # of the flat head: O, and the B of the second code alone
        assert untrained(first, moved(tagger, f"head.{name}.{part}", *rows), task, CODES) == {0, 2}


def test_codes_of_whole_notes_are_told_by_the_last_layer() -> None:
    task = Document(hidden=4)
    tagger = tagger_of(task)
    first = first_prints(tagger)
    last = max(name for name in first if name.endswith(".bias"))
    assert untrained(first, moved(tagger, last, 0, 2), task, CODES) == {1}


def test_a_head_that_was_never_trained_is_not_masked() -> None:
    task = JerlFactored()
    tagger = tagger_of(task)
    assert untrained(first_prints(tagger), read_state(tagger), task, CODES) == frozenset()
    assert untrained({}, read_state(tagger), task, CODES) == frozenset()  # nothing is known of the first state


@pytest.mark.parametrize("task", [Jerl(), JerlFactored()])
def test_masked_codes_are_never_predicted_and_the_model_is_afterwards_as_before(task: Tagging) -> None:
    tagger = tagger_of(task)
    with torch.no_grad():
        for name, bias in tagger.head.named_parameters():
            if name == f"{LAYERS[type(task)]}.bias":
                bias[...] = 10 * torch.arange(len(bias))  # the last code is the most probable
            elif name == "mention.bias":
                bias[1] = 9.0  # every word begins a mention
    before = read_state(tagger)
    hidden, places = torch.randn(20, HIDDEN), torch.zeros(20, dtype=torch.int64)

    def found() -> set[int]:
        tags, scores = task.scored(tagger.head, hidden, places, places)
        assert scores.isfinite().all()
        return {(int(tag) - 1) // 2 for tag in tags if tag > 0}

    with torch.inference_mode(), masked(tagger, task, {2}):
        assert found() == {1}
    with torch.inference_mode():
        assert found() == {2}
    after = read_state(tagger)
    assert all((after[name] == before[name]).all() for name in before)
