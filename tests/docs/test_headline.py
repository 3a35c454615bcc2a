"""The README's scores are those of docs/results.md, and its picture is drawn from the same ones."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FIGURE = ROOT / "docs" / "figures" / "headline.py"
SCORE = re.compile(r"(?<![\d.])\.\d{3}\b")


@pytest.fixture(scope="module")
def headline() -> ModuleType:
    """Return the script that draws the picture."""
    spec = importlib.util.spec_from_file_location("headline", FIGURE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores_of(text: str) -> set[str]:
    return set(SCORE.findall(text))


def first_screen() -> str:
    return (ROOT / "README.md").read_text("utf-8").partition("## Install")[0]


def test_every_score_of_the_first_screen_is_a_result() -> None:
    assert len(scores_of(first_screen())) > 20
    assert scores_of(first_screen()) <= scores_of((ROOT / "docs" / "results.md").read_text("utf-8"))


def test_every_score_of_the_picture_is_a_result(headline: ModuleType) -> None:
    drawn = scores_of(headline.picture())
    assert len(drawn) > 30
    assert drawn <= scores_of((ROOT / "docs" / "results.md").read_text("utf-8"))


def test_table_and_picture_agree(headline: ModuleType) -> None:
    rows = [line for line in first_screen().splitlines() if line.startswith("|") and SCORE.search(line)]
    for row, bars in zip(rows, headline.JOBS.values(), strict=True):
        drawn = {f"{number:.3f}"[1:] for bar in bars for number in (bar.f1, *(bar.interval or ()))}
        assert scores_of(row) <= drawn


def test_the_picture_is_what_its_script_draws(headline: ModuleType) -> None:
    assert FIGURE.with_suffix(".svg").read_text("utf-8") == headline.picture()
