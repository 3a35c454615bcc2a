"""`clinfed report` of a sweep: its trials, what each row would choose, and which rows there are."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from clinfed.cli import main
from clinfed.experiments.studies import sweep_report

FIRST = {"training.learning_rate": 0.00123456, "adapter.r": 4}
SPACE = {
    "training.learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2),
    "adapter.r": optuna.distributions.CategoricalDistribution([2, 4]),
}

Study = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a function that keeps a study as `clinfed sweep` does, with trials of these scores; it gives its file."""

    def keep(name: str, overrides: list[str], *scores: float, searched: tuple[str, ...] = tuple(SPACE)) -> Path:
        (tmp_path / "sweeps").mkdir(exist_ok=True)
        file = tmp_path / "sweeps" / f"{name}.log"
        storage = JournalStorage(JournalFileBackend(str(file)))
        kept = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        kept.set_user_attr("overrides", overrides)
        kept.set_user_attr("searched", list(searched))
        for number, score in enumerate(scores):
            drawn = {**FIRST, "adapter.r": (4, 2)[number % 2]}
            params = {key: drawn[key] for key in searched}
            space = {key: SPACE[key] for key in searched}
            kept.add_trial(optuna.create_trial(params=params, distributions=space, value=score))
        return file

    return keep


def test_the_page_has_all_trials_and_each_rows_best(study: Study, tmp_path: Path) -> None:
    shared = ["rounds=1", "corpus.path=/data/canarypatient"]
    study("a", [*shared, "adapter=lora"], 0.25, 0.5, 0.5)
    study("b", [*shared, "adapter=dora"], 0.125, 0.0625)
    page = tmp_path / "new" / "sweep.html"
    assert main(["report", str(tmp_path / "sweeps"), "-o", str(page)]) == 0
    text = page.with_suffix(".md").read_text("utf-8")
    best = "with training.learning_rate=0.001235 adapter.r=2."
    assert text.startswith(f"The best validation F1 is .500: adapter=lora, trial 2 of 3 trials, {best}")
    assert "| adapter=dora | 2 | .125 | 1 | training.learning_rate=0.001235 adapter.r=4 |" in text
    assert "All rows: rounds=1 corpus.path=" in text
    with page.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        trials = [(row["row"], row["trial"], row["validation F1"], row["adapter.r"]) for row in csv.DictReader(file)]
    lora = [
        ("adapter=lora", str(number), f1, r) for number, f1, r in ((1, ".250", "4"), (2, ".500", "2"), (3, ".500", "4"))
    ]
    assert trials == [*lora, ("adapter=dora", "1", ".125", "4"), ("adapter=dora", "2", ".062", "2")]
    html = page.read_text("utf-8")
    assert "adapter=lora .250 .500 .500; adapter=dora .125 .062." in html  # the plot in words
    assert not [path for path in page.parent.iterdir() if b"canary" in path.read_bytes()]  # no folder is told


def test_one_study_is_a_report_and_rows_of_the_same_overrides_are_told_apart(study: Study) -> None:
    one, other = study("one", ["rounds=1"], 0.25), study("other", ["rounds=1"], 0.5, searched=("adapter.r",))
    unfinished = study("unfinished", ["rounds=2"])
    assert [row.name for row in sweep_report([one]).rows] == ["as given"]
    assert [row.name for row in sweep_report([one, other, unfinished]).rows] == [
        "as given (searches training.learning_rate, adapter.r, study one)",
        "as given (searches adapter.r, study other)",
    ]


def test_what_a_sweep_does_not_have_is_refused(
    study: Study, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps = study("none", ["rounds=1"]).parent
    (sweeps / "train.log").write_text("round 1\n", "utf-8")  # of something else
    for arguments, said in (
        ([], "none.log: the sweep has no finished trial"),
        (["--verify"], "--verify: a sweep keeps no counts"),
        ([str(runs["public"])], f"{runs['public']}: not a sweep, but the others are"),
    ):
        assert main(["report", str(sweeps), *arguments, "-o", str(tmp_path / "page.html")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("content", ["", "[1]\n", "1\n", json.dumps({"no": 1}) + "\n", "\xff"])
def test_a_log_of_something_else_is_no_sweep(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "some.log").write_bytes(content.encode("latin-1"))
    assert main(["report", str(tmp_path)]) == 2
    assert "no run record; give the folder of a run, of a comparison or of sweeps" in capsys.readouterr().err
