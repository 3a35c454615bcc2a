"""The lexicon reproduces its known scores on CodiEsp, all gold, train -> dev."""

import random
from pathlib import Path

import pytest

from clinfed.baselines.lexicon import Lexicon
from clinfed.corpus.note import Note
from clinfed.corpus.readers import codiesp
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.spans import count_spans, evaluated


@pytest.fixture(scope="module")
def train(codiesp_path: Path) -> list[Note]:
    return list(codiesp.read(codiesp_path / "train"))


@pytest.fixture(scope="module")
def dev(codiesp_path: Path) -> list[Note]:
    return list(codiesp.read(codiesp_path / "dev"))


def score(lexicon: Lexicon, notes: list[Note]) -> SpanCounts:
    return count_spans(evaluated(notes, {note.id: lexicon.predict(note.text) for note in notes}))


def test_the_pooled_lexicon_has_its_known_score(train: list[Note], dev: list[Note]) -> None:
    counts = score(Lexicon.fit(train), dev)
    assert counts.micro().support == 3431
    assert counts.micro().precision == pytest.approx(0.841, abs=0.005)
    assert counts.micro().recall == pytest.approx(0.492, abs=0.005)
    assert counts.micro().f1 == pytest.approx(0.621, abs=0.005)
    low, high = counts.interval()
    assert low < counts.micro().f1 < high < low + 0.05  # 250 cases give about +- 1.5 points


def test_four_clinics_with_a_lexicon_each_lose_about_eleven_points(train: list[Note], dev: list[Note]) -> None:
    shuffled = random.Random(0).sample(train, len(train))
    each = [score(Lexicon.fit(shuffled[k::4]), dev) for k in range(4)]
    merged = sum(each, SpanCounts())
    assert merged.micro().f1 == pytest.approx(0.514, abs=0.01)  # quarters are random: other draws gave .508 and .513
    pooled = score(Lexicon.fit(train), dev)
    assert pooled.paired_difference(each[0]).low > 0.05
