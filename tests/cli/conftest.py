"""Finished runs, small and trained in this process; a report of one; notes to review; a browser."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.corpus.note import Note, PredictedNote, Prediction, Span
from clinfed.corpus.writers import write_brat, write_codiesp, write_jsonl
from clinfed.experiments.rows import record_of
from tests.browsing import browser

__all__ = ["browser"]  # a fixture

HEADS = ("jerl", "jerl_factored")


@pytest.fixture(scope="session")
def run_of(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a run with a head: 160 notes, trained nearly by heart."""
    home = tmp_path_factory.mktemp("home")

    @cache
    def run(task: str) -> Path:
        from clinfed.experiments.train import train

        settings = ("rounds=1", "training.local_epochs=20", "training.learning_rate=0.003", f"output={home / task}")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CLINFED_HOME", str(home))
            return train([*world.overrides, *settings, f"task={task}"], lambda text: None).parent

    return run


@pytest.fixture(scope="session", params=HEADS)
def finished_run(request: pytest.FixtureRequest, run_of: Callable[[str], Path]) -> Path:
    """Return the folder of a run with each head in turn."""
    return run_of(str(request.param))


@pytest.fixture(scope="session")
def trained(world: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Return the CLINFED_HOME of two finished runs, and their folders."""
    home = tmp_path_factory.mktemp("home")
    small = ["rounds=2", "adapter.r=4", "corpus.patients=22"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINFED_HOME", str(home))
        assert main(["train", *small, f"output={home / 'public'}"]) == 0
        assert main(["train", *world.overrides, f"output={home / 'site'}"]) == 0
    folders = {}
    for name in ("public", "site"):
        record = record_of(home / name)
        assert record is not None
        folders[name] = record.parent
    return home, folders


@pytest.fixture(scope="module")
def runs(trained: tuple[Path, dict[str, Path]]) -> Iterator[dict[str, Path]]:
    """Return the folders of two finished runs: on invented public notes, and on a site's notes with canaries."""
    home, folders = trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINFED_HOME", str(home))
        yield folders


@pytest.fixture(scope="module")
def page(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of the public run with six notes."""
    target = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["report", str(runs["public"]), "-o", str(target), "--notes", "6"]) == 0
    return target


@pytest.fixture
def contrast() -> Callable[[str, str], float]:
    """Return a function that gives WCAG's contrast ratio of two CSS colours."""

    def ratio(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 :].rstrip(")").split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    return ratio


ASTHMA, PAIN = Span(((0, 4),), "J45"), Span(((0, 5), (20, 27)), "R52")
WIDE, NARROW, TODAY = Span(((7, 27),), "I10"), Span(((7, 18),), "I10"), Span(((28, 31),), "R69")
CHEST, OTHER = Span(((0, 14),), "R07.4"), Span(((0, 14),), "R07.9")
GOLD = [
    Note("canarynote-1", "asma e hipertensio arterial hoy", (ASTHMA, WIDE), "es"),
    Note("canarynote-2", "dolor de pecho y de espalda", (CHEST, PAIN), "es"),
    Note("canarynote-3", "tos i febre canarytext", (Span(((0, 3),), "R05"),), "ca"),
    Note("canarynote-4", "bé", (), "ca"),
]
# Note 1: exact, wrong boundary, spurious; note 2: exact and wrong code on the same words; note 3: missed.
FOUND = [(ASTHMA, NARROW, TODAY), (OTHER, PAIN), (), ()]
PREDICTED = [
    PredictedNote(note.id, note.text, spans, note.language, predictions=tuple(Prediction("T", 0.5) for _ in spans))
    for note, spans in zip(GOLD, FOUND, strict=True)
]


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with four notes, with gold (notes) and without (bare), and predictions in each form (found)."""
    folder = tmp_path_factory.mktemp("reviewed")
    write_jsonl(GOLD, folder / "notes.jsonl")
    write_jsonl([Note(note.id, note.text, (), note.language) for note in GOLD], folder / "bare.jsonl")
    write_jsonl(PREDICTED, folder / "found.jsonl")
    write_brat(PREDICTED, folder / "found")
    write_codiesp(PREDICTED, folder / "found.tsv")
    return folder


@pytest.fixture(scope="module")
def serving(reviewed: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that starts the command in a process and gives it, with its address as `url`."""
    started: list[Any] = []

    def serve(notes: str | Path = "notes.jsonl", out: str | Path = "found.jsonl") -> Any:
        arguments = ["review", str(reviewed / out), "--notes", str(reviewed / notes)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process: Any = subprocess.Popen([sys.executable, "-m", "clinfed.cli", *arguments], **pipes)
        started.append(process)
        process.url = process.stdout.readline().strip()
        return process

    yield serve
    for process in started:
        process.kill()
        process.communicate()
