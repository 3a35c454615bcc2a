"""A training whose loss or weights are not finite ends with what to lower, at each place that trains."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinfed import protocol
from clinfed.adapters.lora import Lora
from clinfed.bases import Base
from clinfed.cli import main
from clinfed.errors import DivergedError, UserError
from clinfed.protocol import Reason, Refused
from clinfed.runs.backend import Failed
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training import loop
from clinfed.training.encoded import encode_notes
from clinfed.training.model import build
from clinfed.training.schedules import Epochs
from clinfed.training.settings import Training
from server.participation import require
from server.wire.decode import failure
from tests.training.invented import CODES, invented_notes

SETTINGS = Training(window=32, stride=8, schedule="constant", batch_notes=4)


@pytest.fixture
def train(small_base: Callable[..., Base], tokenizer: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that trains a small model for two epochs of three batches."""
    encoded = encode_notes(Jerl(), invented_notes(12), tokenizer, CODES, window=32, stride=8, cache=tmp_path / "cache")

    def run(settings: Training) -> Any:
        tagger = build(small_base(), Lora(r=4), Jerl(), len(CODES), seed=0)
        options = {"seed": 0, "clinic": "north", "pad_id": 0}
        return loop.train(tagger, Jerl(), encoded, settings, epochs=Epochs(range(2), 2), **options)

    return run


@pytest.mark.parametrize("rate", [1e10, 1e30])
def test_a_rate_beyond_all_use_ends_the_training_and_says_what_to_lower(rate: float, train: Callable[..., Any]) -> None:
    with pytest.raises(DivergedError, match=r"^training diverged in epoch 1 of 2: .*; lower training\.learning_rate="):
        train(replace(SETTINGS, learning_rate=rate))


def test_a_loss_that_is_not_finite_ends_the_training(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jerl, "word_loss", lambda self, head, hidden, tags, features: hidden.sum() * torch.inf)
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf|-inf); lower training\.learning_rate=0\.002"):
        train(SETTINGS)


def test_an_ordinary_training_goes_on(train: Callable[..., Any]) -> None:
    assert np.isfinite(train(SETTINGS).loss)


def test_the_server_names_a_divergence_by_its_class() -> None:
    assert failure(Failed(int(protocol.Failure.TRAIN), "DivergedError")) == Reason.DIVERGED
    assert "hello failed with DivergedError" in failure(Failed(int(protocol.Failure.HELLO), "DivergedError"))


@pytest.mark.parametrize("reason", [Reason.DIVERGED, Reason.NOT_FINITE])
def test_a_round_without_finite_updates_says_what_to_lower(reason: Reason) -> None:
    with pytest.raises(UserError, match=rf"round 2: 0 clinics .*: clinic ca: {reason}; lower training\.learning_rate"):
        require(0, 1, [Refused("ca", reason)], "round 2")


def test_other_reasons_do_not_blame_the_learning_rate() -> None:
    with pytest.raises(UserError) as error:
        require(0, 1, [Refused("ca", Reason.LATE)], "round 2")
    assert "learning_rate" not in str(error.value)


def test_the_command_ends_in_one_line(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    assert main(["train", *world.overrides, "training.learning_rate=1e10"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("clinfed train: training diverged in epoch 1 of 2: ")
    assert list((tmp_path / "runs").glob("*/record.json")) == []
