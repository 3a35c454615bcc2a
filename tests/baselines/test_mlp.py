"""The classifier on frozen vectors: learns, repeats, and is averaged by a strategy like any adapter."""

import numpy as np
import pytest

from clinfed.adapters.update import AdapterUpdate
from clinfed.baselines.mlp import Examples, first_state, probabilities, train
from clinfed.baselines.settings import Classifier
from strategies.base import ServerState
from strategies.fedavg import FedAvg

SMALL = Classifier(hidden=8, passes=1, learning_rate=0.03, batch_notes=8)


def examples(clinic: str = "pooled", notes: int = 64, seed: int = 0) -> Examples:
    """Return notes whose first code follows from the sign of a vector's first number, and the second never comes."""
    vectors = np.random.default_rng(seed).normal(size=(notes, 6)).astype(np.float32)
    targets = np.stack([vectors[:, 0] > 0, np.zeros(notes)], axis=1).astype(np.float32)
    return Examples(clinic, vectors, targets)


@pytest.mark.parametrize("hidden", [0, 8])
def test_what_can_be_learnt_is_learnt(hidden: int) -> None:
    settings = Classifier(hidden=hidden, learning_rate=0.03, batch_notes=8)
    state, loss = train(first_state(6, 2, settings, seed=0), examples(), settings, epochs=range(60), seed=0)
    unseen = examples(seed=1)
    found = probabilities(state, unseen.vectors) >= 0.5
    assert (found[:, 0] == (unseen.targets[:, 0] > 0)).mean() > 0.85
    assert not found[:, 1].any()
    assert loss < 1.0


def test_before_training_no_code_is_likely() -> None:
    found = probabilities(first_state(6, 2, SMALL, seed=0), examples().vectors)
    assert found.max() < 0.2


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    start = first_state(6, 2, SMALL, seed=0)
    hashes = [train(start, examples(), SMALL, epochs=range(2), seed=seed)[0].sha256() for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_state_that_training_starts_from_is_left_as_it_was() -> None:
    start = first_state(6, 2, SMALL, seed=0)
    before = start.sha256()
    train(start, examples(), SMALL, epochs=range(1), seed=0)
    assert start.sha256() == before


def test_two_clinics_with_the_same_notes_average_to_what_one_of_them_learns() -> None:
    start = first_state(6, 2, SMALL, seed=0)
    alone, _ = train(start, examples(), SMALL, epochs=range(2), seed=0)
    updates = [AdapterUpdate(name, alone, 64) for name in ("a", "b")]
    averaged = FedAvg().aggregate(ServerState(start), updates).adapter
    for name, array in alone.items():
        assert np.abs(averaged[name] - array).max() <= 1e-6


def test_a_strong_pull_keeps_the_weights_where_they_began() -> None:
    start = first_state(6, 2, SMALL, seed=0)

    def moved(mu: float) -> float:
        state, _ = train(start, examples(), SMALL, epochs=range(3), seed=0, proximal_mu=mu)
        return sum(float(np.abs(state[name] - start[name]).sum()) for name in start)

    assert moved(1000.0) < 0.5 * moved(0.0)
