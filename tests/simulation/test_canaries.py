"""Words of notes, and names of files, notes and patients, planted and searched for in all that a run wrote or sent."""

from typing import Any

import pytest

from tests.simulation.searching import found

pytestmark = pytest.mark.simulation


def test_a_broken_run_writes_and_prints_no_word_of_a_note(broken: Any, world: Any) -> None:
    assert "train failed with ValueError (code 102)" in broken.out
    assert found(broken, world.canaries) == []


def test_the_search_finds_what_is_private(broken: Any, world: Any) -> None:
    # The detail is kept at the clinic: the same words are found there, so the search above can fail.
    details = [path.read_text("utf-8") for path in (broken.home / "clinic" / "errors").iterdir()]
    assert any("canarynote" in detail and "canarytext" in detail for detail in details)
