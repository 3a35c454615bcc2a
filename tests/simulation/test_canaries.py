"""Words of notes, and names of files, notes and patients, planted and searched for in all that a run wrote or sent."""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.simulation


def written_by(run: Any) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of all that left the clinic: output, logs, database, records, adapters, Ray's session.

    The clinic's own private folder is not among it: its encoded notes and error details are there on purpose.
    """
    yield "output", run.out.encode() + run.err.encode()
    for folder in [run.home / "runs", *run.folders]:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def found(run: Any, words: tuple[str, ...]) -> list[str]:
    return [f"{word} in {name}" for name, content in written_by(run) for word in words if word.encode() in content]


def test_a_run_writes_and_prints_no_word_of_a_note(plain: Any, world: Any) -> None:
    assert found(plain, world.canaries) == []


def test_a_broken_run_writes_and_prints_no_word_of_a_note(broken: Any, world: Any) -> None:
    assert "train failed with ValueError (code 102)" in broken.out
    assert found(broken, world.canaries) == []


def test_the_search_finds_what_is_private(broken: Any, world: Any) -> None:
    # The detail is kept at the clinic: the same words are found there, so the search above can fail.
    details = [path.read_text("utf-8") for path in (broken.home / "clinic" / "errors").iterdir()]
    assert any("canarynote" in detail and "canarytext" in detail for detail in details)


def test_the_clinics_folder_is_closed_to_others(plain: Any) -> None:
    assert (plain.home / "clinic").stat().st_mode & 0o077 == 0
