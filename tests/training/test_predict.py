"""Prediction with several workers: batches at a time, each on one thread, and not another number."""

import threading
from collections.abc import Iterator
from itertools import islice

import pytest
import torch

from clinfed.adapters.lora import Lora
from clinfed.corpus.note import Note, Span
from clinfed.corpus.synthetic import codes, generate
from clinfed.tasks.base import Examples
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training import predict
from clinfed.training.model import Tagger, build
from clinfed.training.settings import Training

TASK, SETTINGS = Jerl(), Training(threads=1)
WAIT_S = 20  # for a second batch that never comes


@pytest.fixture(scope="module")
def notes() -> list[Note]:
    return list(islice(generate(), 40))


@pytest.fixture(scope="module")
def rows(notes: list[Note]) -> Examples:
    from clinfed.bases import Base, load_tokenizer

    return TASK.encode(notes, load_tokenizer(Base()), codes(), window=48, stride=8)


@pytest.fixture
def tagger() -> Tagger:
    """Return the embedded base with a head that was drawn, so that words have all kinds of tags."""
    from clinfed.bases import Base

    return build(Base(), Lora(), TASK, len(codes()), seed=0)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(predict.PREDICTION_TOKENS, "cpu", 128)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def found(tagger: Tagger, rows: Examples, workers: int) -> list[dict[Span, float]]:
    parts = (tagger, TASK, rows.notes, rows.rows, codes(), SETTINGS)
    return predict.predict_rows(*parts, pad_id=0, workers=workers)


@pytest.mark.usefixtures("small_batches")
def test_workers_change_no_span_and_no_score(tagger: Tagger, rows: Examples) -> None:
    alone = found(tagger, rows, 1)
    assert found(tagger, rows, 3) == alone
    assert len({span.code for spans in alone for span in spans}) > 10  # else words in any order would agree


@pytest.mark.usefixtures("small_batches")
def test_two_workers_compute_at_a_time_with_one_thread_each(tagger: Tagger, rows: Examples) -> None:
    together, calls = threading.Barrier(2), []

    def meet(module: torch.nn.Module, arguments: object) -> None:
        calls.append((threading.get_ident(), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        if len(calls) <= 2:
            together.wait(WAIT_S)  # broken, and so raised, where one batch waits for the other's end

    tagger.encoder.register_forward_pre_hook(meet)
    found(tagger, rows, 2)
    assert len({ident for ident, _, _ in calls}) == 2
    assert {(threads, inference) for _, threads, inference in calls} == {(1, True)}


@pytest.mark.usefixtures("small_batches")
def test_a_workers_error_is_raised(tagger: Tagger, rows: Examples) -> None:
    def fail(module: torch.nn.Module, arguments: object) -> None:
        raise RuntimeError("out of memory")

    tagger.encoder.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        found(tagger, rows, 2)
