"""`clinfed report`: which notes a page shows, and with whose predictions."""

import json
from collections import Counter
from pathlib import Path

import pytest

from clinfed.cli import main
from clinfed.evaluation import hits
from clinfed.evaluation.report.highlights import RIGHT
from clinfed.evaluation.report.results import Finished
from clinfed.experiments.report import shown_notes
from clinfed.experiments.rows import record_of


def test_notes_of_an_own_corpus_in_a_public_ones_layout_are_not_shown(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    for split in ("train", "dev"):
        (own / split / "text_files").mkdir(parents=True)
        rows = ""
        for number in range(12):
            (own / split / "text_files" / f"{split}{number}.txt").write_text("canary fiebre", "utf-8")
            rows += f"{split}{number}\tDIAGNOSTICO\tr50.9\tfiebre\t7 13\n"
        (own / split / f"{split}X.tsv").write_text(rows, "utf-8")
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    small = ["rounds=1", "adapter.r=4", "partition=pooled", "clinics=1", f"output={tmp_path / 'run'}"]
    assert main(["train", "corpus=codiesp", f"corpus.path={own}", *small]) == 0
    record = record_of(tmp_path / "run")
    assert record is not None
    assert hits.read(record.parent) is None
    assert main(["report", str(record.parent), "-o", str(tmp_path / "page.html")]) == 0
    assert not [path for path in tmp_path.glob("page*") if b"canary" in path.read_bytes()]
    assert main(["report", str(record.parent), "-o", str(tmp_path / "page.html"), "--show-notes-of-this-site"]) == 0
    assert "canary" in (tmp_path / "page.html").read_text("utf-8")


def test_the_notes_of_a_run_in_one_place_are_shown_as_they_were_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    small = ["rounds=2", "adapter.r=4", "corpus.patients=22", "task.lexicon=true", "training.learning_rate=4e-3"]
    assert main(["train", *small, f"output={tmp_path / 'run'}"]) == 0
    path = record_of(tmp_path / "run")
    assert path is not None
    shown = shown_notes(path.parent, Finished.of(path), 10_000, private=False)
    found = Counter(piece.kind for note in shown for piece in note.pieces)
    evaluated = json.loads(path.read_text("utf-8"))["test"]["centralised"]["all"]["micro"]
    assert found[RIGHT] == evaluated["tp"] > 0
