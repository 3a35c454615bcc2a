"""McNemar's test on mentions, and the bits that it needs."""

import time
from pathlib import Path

import numpy as np
import pytest

from clinfed.corpus.note import Note, Span
from clinfed.evaluation import artefacts, hits
from clinfed.evaluation.hits import ADAPTER, McNemar, mcnemar

A, B = Span(((0, 3),), "I10"), Span(((5, 8),), "E11.9")
NOTES = [Note("n2", "x" * 9, (A,)), Note("n1", "x" * 9, (B, A))]


def bits(*values: int) -> hits.Bits:
    return np.array(values, np.bool_)


def test_p_is_that_of_a_coin_thrown_for_each_discordant_mention() -> None:
    # 9 against 1: 2 * (1 + 10) / 2**10
    assert McNemar(9, 1).p == pytest.approx(22 / 1024)
    assert McNemar(1, 9).p == McNemar(9, 1).p
    assert McNemar(5, 5).p == 1.0  # twice the tail is more than 1
    assert McNemar(0, 0).p == 1.0
    assert McNemar(6, 0).p == pytest.approx(2 / 64)
    assert 0 < McNemar(2600, 2400).p < 0.006  # and no overflow


def test_p_of_many_mentions_is_there_at_once() -> None:
    started = time.process_time()
    assert McNemar(10_000, 9_900).p == pytest.approx(0.4827, abs=1e-3)  # by the normal approximation: z = .70
    assert time.process_time() - started < 2


def test_the_exact_p_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with seqeval, a dependency of the tests")
    for n, k in ((7, 2), (40, 15), (500, 260)):
        assert McNemar(k, n - k).p == pytest.approx(stats.binomtest(k, n).pvalue)


def test_only_mentions_that_one_system_finds_count() -> None:
    test = mcnemar(bits(1, 1, 1, 0, 0), bits(1, 0, 0, 1, 0))
    assert (test.ours_only, test.theirs_only) == (2, 1)
    with pytest.raises(ValueError, match="5 and 4 mentions"):
        mcnemar(bits(1, 1, 1, 0, 0), bits(1, 0, 0, 1))


def test_a_mention_is_found_where_place_and_code_are_right() -> None:
    wrong_code = Span(((5, 8),), "E10.9")
    # In the order n1: A, B; n2: A.
    assert hits.found(NOTES, {"n1": [A, wrong_code], "n2": []}).tolist() == [True, False, False]
    assert hits.found(reversed(NOTES), {"n1": [B]}).tolist() == [False, True, False]


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    found = {"ca": bits(*[1, 0, 1] * 5), "es": bits(0, 1)}
    for clinic, each in found.items():
        artefacts.keep(tmp_path / clinic, hits.to_json(f"digest-{clinic}", {ADAPTER: each}))
    assert hits.read(tmp_path) is None
    artefacts.collect(tmp_path / artefacts.HITS, {clinic: tmp_path / clinic for clinic in found})
    read = hits.read(tmp_path)
    assert read is not None
    assert read.of(ADAPTER).tolist() == [*found["ca"], *found["es"]]
    assert read.mentions == {"ca": "digest-ca", "es": "digest-es"}


def test_runs_on_other_mentions_are_not_paired() -> None:
    one = hits.Hits({"ca": hits.mentions_of(NOTES)}, {"ca": {ADAPTER: bits(1, 0, 1)}})
    other = hits.Hits({"ca": hits.mentions_of(NOTES[:1])}, {"ca": {ADAPTER: bits(1, 0, 1)}})
    assert hits.paired(one, one) == McNemar(0, 0)
    assert hits.paired(one, other) is None
    assert hits.paired(one, None) is None
