"""`clinfed sweep`: real trainings, chosen on validation, stopped and resumed, the same number of trials a row."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

import configs
from clinfed.cli import main
from clinfed.corpus.splits import split_of
from clinfed.evaluation.report.tables import fraction
from clinfed.experiments.sweep import SPACE as SHIPPED
from clinfed.experiments.sweep import draw, not_given, read_space

SPACE = "training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\nadapter.r: {choices: [2, 4]}\n"


@pytest.fixture
def sweep(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that sweeps; it gives the printed trials and the rows."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    (tmp_path / "space.yaml").write_text(SPACE, "utf-8")
    overrides = [each for each in world.overrides if not each.startswith(("adapter.r", "rounds"))]

    def run(*arguments: str) -> tuple[list[str], Any]:
        command = ["sweep", *overrides, "rounds=1", "--space", str(tmp_path / "space.yaml"), "--json", *arguments]
        assert main(command) == 0
        printed = capsys.readouterr()
        trials = [line for line in printed.err.splitlines() if line.startswith("trial ")]
        return trials, json.loads(printed.out.splitlines()[-1])

    return run


def test_a_sweep_goes_on_where_it_was_stopped(sweep: Any, tmp_path: Path) -> None:
    first, rows = sweep("--trials", "1")
    assert len(first) == 1
    assert rows[0]["trials"] == 1
    best_of_one = rows[0]
    second, rows = sweep("--trials", "2")
    assert [line.split(" | ")[0] for line in second] == ["trial 2/2"]
    assert rows[0]["trials"] == 2
    assert set(rows[0]["settings"]) == {"training.learning_rate", "adapter.r"}
    scores = [float(line.split(" F1 ")[1].split()[0]) for line in first + second]
    assert rows[0]["validation_f1"] == pytest.approx(max(scores), abs=6e-4)
    assert len({line.split(" | ")[2] for line in first + second}) == 2  # not the first trial's settings again
    assert sweep("--trials", "2")[0] == []
    assert sweep("--trials", "1") == ([], [best_of_one])  # the best of as many trials as any other row has
    assert main(["report", str(tmp_path / "home" / "sweeps"), "-o", str(tmp_path / "sweep.html")]) == 0
    text = (tmp_path / "sweep.md").read_text("utf-8")
    assert text.startswith(f"The best validation F1 is {fraction(rows[0]['validation_f1'])}: as given, trial ")
    assert "rounds=1" in text


def test_each_row_gets_as_many_trials_and_only_the_settings_that_it_has(sweep: Any) -> None:
    _, rows = sweep("--trials", "1", "--row", "adapter=ia3", "--row", "adapter=lora adapter.r=2")
    assert [(row["row"], row["trials"], set(row["settings"])) for row in rows] == [
        ("adapter=ia3", 1, {"training.learning_rate"}),
        ("adapter=lora adapter.r=2", 1, {"training.learning_rate"}),
    ]


@pytest.mark.parametrize("longer", ["rounds=9", "training.local_epochs=2", "corpus.train_fraction=1.0"])
def test_a_row_with_another_budget_is_refused(longer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--row", "adapter=lora", "--row", f"adapter=dora {longer}"]) == 2
    said = capsys.readouterr().err
    assert f'--row "adapter=dora {longer}": has {longer} where the other rows have' in said


def test_a_row_with_another_corpus_is_refused(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *world.overrides, "--row", "adapter=lora", "--row", "adapter=lora corpus=brat"]) == 2
    assert "has options.corpus=brat where the other rows have jsonl" in capsys.readouterr().err


def test_without_a_validation_note_nothing_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    small = ["corpus.patients=5", "rounds=1", "adapter=ia3", "corpus.train_fraction=0.05"]
    assert not [note for note in configs.load(small).corpus.notes() if split_of(note) == "validation"]
    assert main(["sweep", "--trials", "1", *small]) == 2
    assert "no clinic holds a validation note" in capsys.readouterr().err


@pytest.mark.parametrize(
    "space",
    [
        "adapter.r: {lowest: 1}",
        "adapter.r: 8",
        "adapter.r: {choices: []}",
        "adapter.r: {choices: 8}",
        "training.gamma: {low: 1.0, high: 0.5}",
        "training.gamma: {low: a, high: b}",
        "training.learning_rate: {low: 0, high: 1.0, log: true}",
        "1: {choices: [8]}",
    ],
)
def test_a_space_that_nothing_can_be_drawn_from_is_refused(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(f"{space}\n", "utf-8")
    assert main(["sweep", "--space", str(tmp_path / "space.yaml")]) == 2
    assert f"{space.split(':')[0]}: neither choices nor numbers low <= high" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xe4: {choices: [8]}\n", b"- adapter.r\n"])
def test_a_file_that_is_no_space_is_refused(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.yaml").write_bytes(content)
    assert main(["sweep", "--space", str(tmp_path / "space.yaml")]) == 2
    assert "space.yaml: not a search space (" in capsys.readouterr().err


def test_a_trial_draws_the_method_and_then_the_settings_that_this_method_has(
    sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[set[str]] = []

    def evaluated(overrides: list[str]) -> float:
        tried.append({each.split("=")[0] for each in overrides} & {"adapter.r", "training.gamma"} | set(overrides))
        return 0.0

    monkeypatch.setattr("clinfed.experiments.sweep.validation_f1", evaluated)
    space = "adapter.r: {choices: [2]}\nadapter: {choices: [lora, ia3]}\ntraining.gamma: {low: 0.5, high: 1.0}\n"
    space += "training.schedule: {choices: [linear, exponential]}\n"  # drawn before, wherever it stands
    (tmp_path / "space.yaml").write_text(space, "utf-8")
    sweep("--trials", "16")
    assert {("adapter.r" in each, "adapter=lora" in each) for each in tried} == {(True, True), (False, False)}
    decays = {("training.gamma" in each, "training.schedule=exponential" in each) for each in tried}
    assert decays == {(True, True), (False, False)}
    tried.clear()
    sweep("--trials", "5", "--row", "adapter.dropout=0.1")  # LoRA's, so that LoRA is meant
    assert not any("adapter=ia3" in each for each in tried)


def test_what_comes_with_the_package_draws_of_what_there_is() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn: set[str] = set()
    space = read_space(SHIPPED)
    for _ in range(20):
        overrides = draw(study.ask(), [], not_given(space, []))
        configs.load(overrides)
        drawn |= {override.split("=")[0] for override in overrides}
    assert drawn == space.keys()


@pytest.mark.parametrize("key", ["rounds", "training.local_epochs", "corpus", "corpus.train_fraction", "seed"])
def test_a_space_that_would_give_trials_another_budget_is_refused(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(f"{key}: {{choices: [1, 2]}}\n", "utf-8")
    assert main(["sweep", "--space", str(tmp_path / "space.yaml")]) == 2
    assert f"{key} is part of the budget" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["clinics.many", "training.learning_rat", "adapter.ranks", "method"])
def test_a_key_that_no_trial_could_draw_is_refused(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(f"{key}: {{choices: [1, 2]}}\nadapter: {{choices: [lora, ia3]}}\n", "utf-8")
    assert main(["sweep", "--space", str(tmp_path / "space.yaml")]) == 2
    assert f"{key}: no option or setting that a trial could draw" in capsys.readouterr().err
