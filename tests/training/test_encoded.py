"""Encoded notes on disk: written once, private, another for other notes, and removed when no run uses them."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus.note import Note
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training.encoded import encode_notes
from tests.training.invented import CODES, invented_notes


def test_notes_are_tokenised_once(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"window": 32, "stride": 8, "cache": tmp_path / "cache"}
    first = encode_notes(Jerl(), invented_notes(20), tokenizer, CODES, **options)
    monkeypatch.setattr("clinfed.tasks.tagging.base.subwords_of", None)  # a second tokenisation would fail
    again = encode_notes(Jerl(), list(reversed(invented_notes(20))), tokenizer, CODES, **options)
    assert again.rows == first.rows
    folder = next(path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_new_cache_removes_those_that_no_run_has_used_for_a_month(tokenizer: Any, tmp_path: Path) -> None:
    notes = invented_notes(20)

    def folders() -> set[Path]:
        return {path for path in tmp_path.iterdir() if path.is_dir()}

    def encode(number: int) -> Path:
        """Return the folder of the cache of the five notes of this number."""
        before = folders()
        encode_notes(Jerl(), notes[5 * number : 5 * number + 5], tokenizer, CODES, window=32, stride=8, cache=tmp_path)
        return min(folders() - before, default=tmp_path)

    used, unused, recent = encode(0), encode(1), encode(2)
    killed, writing = tmp_path / "a.17", tmp_path / "b.17"
    for folder, days in ((used, 31), (unused, 31), (recent, 29), (killed, 2), (writing, 0)):
        folder.mkdir(exist_ok=True)
        os.utime(folder, (time.time() - days * 24 * 3600,) * 2)
    encode(0)  # from the cache, which is in use again
    assert folders() == {used, unused, recent, killed, writing}
    new = encode(3)
    assert folders() == {used, recent, writing, new}


def test_other_notes_get_another_cache(tokenizer: Any, tmp_path: Path) -> None:
    options = {"window": 32, "stride": 8, "cache": tmp_path / "cache"}
    notes = invented_notes(20)
    first = encode_notes(Jerl(), notes, tokenizer, CODES, **options)
    unannotated = [Note(note.id, note.text, (), note.language) for note in notes]
    assert encode_notes(Jerl(), unannotated, tokenizer, CODES, **options).rows != first.rows
