"""`clinfed compare` of an experiment whose rows choose their settings: equal trials, opponents, and going on."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

import configs
from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.experiments import compare, opponents
from clinfed.experiments.rows import refuse_unequal

BATCHES = [["training.batch_notes=4"], ["training.batch_notes=8"]]
TRIALS = {
    "federated": BATCHES,
    "centralised": BATCHES,
    "local": [["training.learning_rate=1e-4"], ["training.learning_rate=5e-3"]],
}


@pytest.fixture
def compared(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the experiment; it gives exit code, printed text and the JSON object."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(configs, "experiment_trials", lambda name: TRIALS)
    monkeypatch.setattr(compare.Children, "run", _in_this_process)
    monkeypatch.setattr(compare, "ThreadPoolExecutor", _Inline)

    def run(*arguments: str) -> tuple[int, str, Any]:
        code = main(
            [
                "compare",
                *world.overrides,
                "experiment=two_clinics",
                "chosen=best",
                "backend=local",
                *arguments,
                "--json",
            ]
        )
        printed = capsys.readouterr()
        return code, " ".join(printed.err.split()), json.loads(printed.out.splitlines()[-1])

    return run


def _in_this_process(self: Any, command: list[str], log: Any, status_file: Path) -> int:
    """Run a command without a process of its own, each of which would load torch again."""
    _, _, module, *arguments = command
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        return main(arguments) if module == "clinfed.cli" else opponents.main(arguments)


class _Inline:
    """Runs one job after the other, in the thread that asks."""

    def __init__(self, workers: int) -> None:
        self.map = map

    def __enter__(self) -> "_Inline":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def shutdown(self, **options: bool) -> None:
        pass


def test_clinics_choose_on_their_own_validation_notes_and_opponents_stand_beside_them(compared: Any) -> None:
    rows = "compare.rows=local ca,local es,local lexicon,local ensemble"
    code, text, found = compared(rows)
    assert code == 0, text
    assert "4 trials to do" in text
    assert [each["name"] for each in found["systems"]] == ["local ca", "local es", "local lexicon", "local ensemble"]
    assert "Budget of each trained row: 2 epochs over its training notes; 2 trials with seed 0" in text
    folder = Path(found["folder"])
    trials = [_record(folder / "trials" / f"local ca {number}" / "seed-0") for number in (1, 2)]
    best = max(trials, key=lambda each: _validated(each, "local ca"))
    chosen = _record(folder / "local ca" / "seed-0")
    assert chosen["adapter_sha256"] == best["adapter_sha256"]
    assert chosen["chosen_by"].endswith("best on validation of ca")
    assert "adapters, least mean score" in _record(folder / "local ensemble" / "seed-0")["chosen_by"]
    code, text, again = compared(rows)
    assert code == 0
    assert "trials to do" not in text
    assert again["systems"] == found["systems"]


@pytest.mark.soak
def test_a_federation_and_one_place_have_as_many_trials(compared: Any) -> None:
    code, text, found = compared("compare.seeds=2")
    assert code == 0, text
    # Two trials for each of four rows; then seed 1 of these, their first runs being trials, and two opponents twice.
    assert "8 trials to do" in text
    assert "8 runs to do" in text
    names = ["local ca", "local es", "centralised", "federated", "local lexicon", "local ensemble"]
    assert [each["name"] for each in found["systems"]] == names
    assert all(each["seeds"] == [0, 1] for each in found["systems"])
    assert "Budget of each trained row: 2 epochs over its training notes; 2 trials with seed 0" in text
    assert "share of the gap" in text
    assert "from local ensemble to centralised" in text
    assert "local lexicon to centralised" in text

    folder = Path(found["folder"])
    for name in ("local es", "centralised"):
        trials = [_record(folder / "trials" / f"{name} {number}" / "seed-0") for number in (1, 2)]
        chosen = _record(folder / name / "seed-0")
        best = max(trials, key=lambda each: _validated(each, name))
        assert chosen["adapter_sha256"] == best["adapter_sha256"]
        assert _record(folder / name / "seed-1")["config"]["training"] == best["config"]["training"]
        assert chosen["chosen_by"].startswith("epoch ")


def _record(folder: Path) -> Any:
    return json.loads(next(folder.glob("*/record.json")).read_text("utf-8"))


def _validated(record: Any, name: str) -> float:
    validation = record["rounds"][-1]["validation"]
    clinic = name.removeprefix("local ")
    score = validation["by_clinic"][clinic] if clinic != name else validation["micro"]
    return float(score["f1"])


def test_a_row_with_more_trials_than_others_is_refused() -> None:
    one, two = [["training.batch_notes=4"]], [["training.batch_notes=4"], ["training.batch_notes=8"]]
    refuse_unequal({"federated": two, "local": two})
    with pytest.raises(UserError, match="federated 2, local 1; expected as many for each row"):
        refuse_unequal({"federated": two, "local": one})
    with pytest.raises(UserError, match="from 1"):
        refuse_unequal({"federated": []})


@pytest.mark.parametrize("override", ["rounds=9", "corpus.train_fraction=1.0", "training.local_epochs=2", "seed=3"])
def test_a_trial_that_changes_the_budget_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=f"trials of local: {override} changes the budget"):
        refuse_unequal({"federated": [["training.batch_notes=4"]], "local": [[override]]})


def test_the_fair_experiment_gives_each_row_as_many_trials() -> None:
    trials = configs.experiment_trials("fair_two_clinics")
    refuse_unequal(trials)
    assert {row: len(settings) for row, settings in trials.items()} == {"federated": 4, "centralised": 4, "local": 4}
    assert configs.load(["experiment=fair_two_clinics"]).chosen == "best"
