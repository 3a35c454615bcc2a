"""Early stopping in one place: which epoch's adapter is kept, and whose validation notes decide."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.experiments import train
from clinfed.experiments.train import BestEpoch
from clinfed.protocol import ALL_GOLD, FEDERATED


def clinic(name: str, notes: int = 1) -> Any:
    return SimpleNamespace(name=name, codes=(), split=lambda of: [None] * notes)


def cache(chosen: str = "best", only: str = "") -> Any:
    run = SimpleNamespace(chosen=chosen, only=SimpleNamespace(clinic=only))
    return SimpleNamespace(run=run, tagger=lambda codes: None)


def seen(monkeypatch: pytest.MonkeyPatch, hits: list[tuple[int, int]]) -> BestEpoch:
    """Return what has seen epochs in which two clinics find so many of ten mentions each."""
    best = BestEpoch.of(cache(), [clinic("a"), clinic("b")])
    assert best is not None
    for epoch, found in enumerate(hits, 1):
        by_clinic = dict(zip("ab", found, strict=True))
        state = AdapterState({"head.weight": np.full(1, float(epoch), np.float32)})

        def evaluate(cache: Any, clinic: Any, *_: Any, by_clinic: dict[str, int] = by_clinic, **options: Any) -> Any:
            tp = by_clinic[clinic.name]
            counts = SpanCounts({("ca", "J00"): Counts(tp, 10 - tp, 10 - tp)} if tp >= 0 else {})
            return SimpleNamespace(counts={(FEDERATED, ALL_GOLD): counts})

        monkeypatch.setattr(train, "evaluate", evaluate)
        monkeypatch.setattr(train, "read_state", lambda tagger, state=state: state)
        best.see(epoch)
    return best


def test_the_best_epoch_is_kept_and_of_equal_ones_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    best = seen(monkeypatch, [(2, 2), (5, 5), (9, 1), (1, 1)])
    assert (best.epoch, best.score) == (2, 0.5)
    assert best.state is not None
    assert best.state["head.weight"].tolist() == [2.0]
    assert best.reason(4) == "epoch 2 of 4, best on validation of a, b"


def test_an_epoch_without_a_mention_gives_way_to_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, [(-1, -1), (0, 0)]).epoch == 2


def test_a_clinic_alone_looks_at_its_own_validation_notes() -> None:
    clinics = [clinic("a"), clinic("b"), clinic("c", notes=0)]
    best = BestEpoch.of(cache(only="b"), clinics)
    assert best is not None
    assert [each.name for each in best.clinics] == ["b"]
    pooled = BestEpoch.of(cache(), clinics)
    assert pooled is not None
    assert [each.name for each in pooled.clinics] == ["a", "b"]
    assert BestEpoch.of(cache(only="c"), clinics) is None, "it holds no validation note"
    assert BestEpoch.of(cache(chosen="last"), clinics) is None
