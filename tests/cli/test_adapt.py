"""`clinfed adapt`: from the global adapter to a site's own, evaluated beside it on the site's test notes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.adapters.folder import load_state
from clinfed.cli import main
from clinfed.corpus.readers import jsonl
from clinfed.corpus.writers import write_jsonl
from clinfed.experiments.adapt import verdict
from clinfed.experiments.adapted import open_adapter
from clinfed.training import loop

RunOf = Callable[[str], Path]


@pytest.fixture
def site(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a site's notes: those in Catalan."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    write_jsonl(jsonl.read(world.site_notes("ca")), tmp_path / "site.jsonl")
    return tmp_path / "site.jsonl"


def adapted(capsys: pytest.CaptureFixture[str], run: Path, notes: Path, out: Path, *overrides: str) -> dict:
    arguments = ["--adapter", str(run), "--notes", str(notes), "-o", str(out), "--json"]
    assert main(["adapt", *arguments, *overrides]) == 0
    captured = capsys.readouterr()
    assert "canary" not in captured.out + captured.err
    return json.loads(captured.out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], run: Path, notes: Path, out: Path, *overrides: str) -> str:
    assert main(["adapt", "--adapter", str(run), "--notes", str(notes), "-o", str(out), *overrides]) == 2
    return capsys.readouterr().err


def test_both_adapters_are_evaluated_on_the_sites_test_notes_and_the_folder_is_used_like_any(
    finished_run: Path, site: Path, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = adapted(capsys, finished_run, site, tmp_path / "ours", "training.local_epochs=2")
    ours = open_adapter(tmp_path / "ours", base_path=str(world.folder / "base"))
    assert ours.state.sha256() == report["adapter_sha256"] != report["adapted_from"]
    assert report["adapted_from"] == load_state(finished_run / "adapter").sha256()
    micro = {system: report["test"][system]["all"]["micro"] for system in ("global", "personal", "lexicon")}
    assert {score["tp"] + score["fn"] for score in micro.values()} == {report["notes"]["test"]}  # one mention a note
    assert report["difference"]["f1"] == pytest.approx(micro["personal"]["f1"] - micro["global"]["f1"])
    low, high = report["difference"]["interval"]
    assert low <= report["difference"]["f1"] <= high
    assert json.loads((tmp_path / "ours" / "adaptation.json").read_text()) == report
    for path in (tmp_path / "ours").iterdir():
        assert not any(canary.encode() in path.read_bytes() for canary in world.canaries)
        assert str(tmp_path).encode() not in path.read_bytes()


def test_training_starts_from_the_global_adapter_in_the_one_loop_on_training_notes_only(
    run_of: RunOf, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def recorded(tagger: Any, task: Any, encoded: Any, settings: Any, **options: Any) -> Any:
        from clinfed.adapters.weights import read_state

        calls.append((read_state(tagger).sha256(), set(encoded.notes["id"]), options["epochs"].numbers))
        return train(tagger, task, encoded, settings, **options)

    train = loop.train
    monkeypatch.setattr(loop, "train", recorded)
    report = adapted(capsys, run_of("jerl"), site, tmp_path / "ours", "training.local_epochs=1")
    [(start, ids, epochs)] = calls
    from clinfed.corpus.splits import split_of

    assert start == report["adapted_from"]
    assert ids == {note.id for note in jsonl.read(site) if split_of(note) == "train"}
    assert epochs == range(1)


def test_with_a_learning_rate_of_0_nothing_changes(
    run_of: RunOf, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("training.learning_rate=0.0", "training.local_epochs=1")
    report = adapted(capsys, run_of("jerl_factored"), site, tmp_path / "ours", *overrides)
    assert report["adapter_sha256"] == report["adapted_from"]
    assert report["difference"] == {"f1": 0.0, "interval": [0.0, 0.0]}


def test_what_the_adapter_has_settled_is_refused(
    run_of: RunOf, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = run_of("jerl"), tmp_path / "ours"
    for override in ("adapter.r=8", "task=jerl_factored", "corpus.path=/elsewhere", "training.window=64"):
        assert f"{override}: the adapter" in refused(capsys, run, site, out, override)
    assert "training.nothing=1: no such key" in refused(capsys, run, site, out, "training.nothing=1")
    assert "exists already" in refused(capsys, run, site, site)


def test_notes_that_cannot_teach_or_evaluate_are_refused(
    run_of: RunOf, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("asma")
    assert "texts without annotations" in refused(capsys, run_of("jerl"), tmp_path / "texts", tmp_path / "ours")
    from clinfed.corpus.splits import split_of

    write_jsonl([note for note in jsonl.read(site) if split_of(note) == "train"], tmp_path / "train.jsonl")
    assert "none of them in the test split" in refused(
        capsys, run_of("jerl"), tmp_path / "train.jsonl", tmp_path / "ours"
    )


def test_notes_without_a_mention_teach_nothing_and_are_refused(
    capsys: pytest.CaptureFixture[str], run_of: Any, tmp_path: Path
) -> None:
    lines = [{"id": f"n{number}", "text": "Asma.", "labels": [[0, 4, "J45.9"]]} for number in range(30)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    error = refused(capsys, run_of("jerl"), tmp_path / "notes.jsonl", tmp_path / "own")
    assert "no mention to learn from: " in error
    assert "30 unknown field labels (ignored; did you mean spans?)" in error


def test_the_verdict_follows_the_interval() -> None:
    assert "is better" in verdict(0.01, 0.05)
    assert "is worse" in verdict(-0.05, -0.01)
    assert "No difference" in verdict(-0.01, 0.05)
