"""`clinfed compare`: real runs of `clinfed train` on small notes, stopped and resumed, and what their table says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from clinfed.cli import main
from clinfed.errors import UserError
from clinfed.evaluation import artefacts
from clinfed.experiments.compare import Children, side_by_side
from clinfed.experiments.gathered import gather_documents
from clinfed.experiments.report import report_of
from clinfed.experiments.rows import learners, plan_rows, record_of, seeds_begun, unfinished
from clinfed.home import artefact_file
from clinfed.training.settings import Training
from configs import load

ROWS = "compare.rows=local ca,local es,centralised"


@pytest.fixture
def compared(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a comparison; it gives exit code, printed lines and the JSON object."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, list[str], Any]:
        code = main(["compare", *world.overrides, *arguments, "--json"])
        printed = capsys.readouterr()
        return code, printed.err.splitlines(), json.loads(printed.out.splitlines()[-1])

    return run


def test_rows_are_run_once_and_pending_ones_are_named(compared: Any) -> None:
    code, lines, _ = compared("compare.rows=centralised")
    assert code == 0
    assert "1 runs to do" in lines[0]
    code, lines, _ = compared(ROWS, "--table")
    assert lines[-2] == "pending: local ca (seed 0), local es (seed 0)"
    code, lines, found = compared(ROWS)
    assert "2 runs to do" in lines[0]
    assert not [line for line in lines if line.startswith("pending")]
    assert [(row["name"], row["seeds"]) for row in found["systems"]] == [
        ("local ca", [0]),
        ("local es", [0]),
        ("centralised", [0]),
    ]
    header = next(line for line in lines if line.startswith("system"))
    assert "95% interval" in header
    assert [line for line in lines if line.startswith("lexicon, pooled ")]
    _, lines, found = compared("compare.rows=centralised")
    assert [row["name"] for row in found["systems"]] == ["centralised"]
    kept = Path(found["folder"], "comparison.md").read_text("utf-8")
    assert all(f"| {name} | 1 |" in kept for name in ("local ca", "local es", "centralised")), "what was there stays"
    folder = Path(found["folder"])
    shutil.copytree(folder / "centralised" / "seed-0", folder / "centralised" / "seed-1")
    (folder / "centralised" / "seed-1.copy").mkdir()
    _, lines, _ = compared(ROWS, "--table")
    kept = (folder / "comparison.md").read_text("utf-8")
    assert "| centralised | 2 |" in kept
    assert "- local ca minus centralised: " in kept, "over the seed that both have"
    assert "pending" not in kept


def test_a_setting_need_fit_the_wanted_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    command = ["compare", "--table", "experiment=footprint", "adapter.alpha=32"]
    assert main([*command, "compare.rows=qlora"]) == 0
    assert "pending: qlora (seed 0)" in capsys.readouterr().out
    assert main([*command, "compare.rows=full"]) == 2
    assert "adapter.alpha=32: no such key with adapter=full" in capsys.readouterr().err


def trained_for_an_epoch(folder: Path, within_s: float = 120) -> None:
    """Wait until the run whose log stands below the folder has trained for an epoch."""
    until = time.monotonic() + within_s
    while not any("epoch 1/" in log.read_text("utf-8") for log in folder.rglob("run.log")):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_stopped_comparison_takes_its_runs_with_it_and_goes_on(world: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "CLINFED_HOME": str(tmp_path)}
    long = [sys.executable, "-m", "clinfed.cli", "compare", *world.overrides, "rounds=10000", "compare.rows=local ca"]
    with subprocess.Popen(long, env=environment, stdout=subprocess.PIPE, text=True) as compare:
        assert compare.stdout is not None
        assert compare.stdout.readline().startswith("1 runs to do")
        trained_for_an_epoch(tmp_path)
        (child,) = psutil.Process(compare.pid).children()
        try:
            second = subprocess.run(long, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert second.returncode == 2
            assert "still in progress" in second.stderr
            compare.send_signal(signal.SIGTERM)
            assert compare.wait(30) == 128 + signal.SIGTERM
            child.wait(30)  # raises where the run has outlived its comparison
        finally:
            with suppress(psutil.NoSuchProcess):
                child.kill()
            compare.kill()
    table = subprocess.run([*long, "--table"], env=environment, capture_output=True, text=True, check=True)
    assert "pending: local ca (seed 0)" in table.stdout


def test_a_run_of_other_settings_is_not_taken_for_the_rows(compared: Any) -> None:
    _, _, found = compared("compare.rows=local ca", "rounds=1")
    path = record_of(Path(found["folder"], "local ca", "seed-0"))
    record = json.loads(path.read_text("utf-8"))
    record["config"]["training"]["batch_notes"] *= 2  # as if an older version had trained it with larger batches
    del record["config"]["adapter"]["dropout"]  # and had not known this setting
    path.write_text(json.dumps(record), "utf-8")
    _, lines, _ = compared("compare.rows=local ca", "rounds=1", "--table")
    assert lines[-2] == "pending: local ca (seed 0)"
    record["config"]["training"]["batch_notes"] //= 2
    record["config"]["experiment"] = "another name for the same settings"
    path.write_text(json.dumps(record), "utf-8")
    _, lines, _ = compared("compare.rows=local ca", "rounds=1", "--table")
    assert not [line for line in lines if line.startswith("pending")]


def test_documents_have_a_table_of_their_own(compared: Any) -> None:
    small = ["compare.rows=document classifier", "classifier.epochs=1", "classifier.hidden=8"]
    _, lines, _ = compared(*small, "--table")
    assert "pending: document classifier (seed 0)" in lines
    code, lines, found = compared(*small)
    assert code == 0
    assert "systems" not in found
    assert [each["name"] for each in found["documents"]][2:4] == ["centralised", "federated"]
    folder = Path(found["folder"])
    other = shutil.copytree(folder, folder.with_name("another"))
    assert main(["report", str(folder), str(other), "--verify"]) == 0
    with pytest.raises(UserError, match="a page shows one comparison's"):
        report_of([], gather_documents([folder, other]))
    assert report_of([], gather_documents([folder])).documents.keys() == {0}
    assert not [line for line in lines if line.startswith(("pending", "system "))]
    markdown = Path(found["folder"], "comparison.md").read_text("utf-8")
    assert "centralised minus federated" in markdown
    folder = Path(found["folder"])
    assert main(["report", str(folder), "--verify"]) == 0
    assert main(["report", str(folder)]) == 2  # no run of spans to report on
    assert main(["report", str(folder), "--verify", "-o", str(folder / "page.html")]) == 2


@pytest.fixture
def footprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the command of configs/experiment/footprint.yaml, smaller; one of 5 patients is a test patient."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    small = [f"base.config.{key}={size}" for key, size in {**sizes, "vocab_size": 8192}.items()]
    return ["compare", "--json", "experiment=footprint", "corpus.patients=5", "corpus.min_codes=1000", *small]


@pytest.mark.soak
def test_memory_and_speed_are_measured_on_random_weights(
    footprint: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(footprint) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    records = {
        row: json.loads(record_of(Path(found["folder"], row, "seed-0")).read_text()) for row in ("full", "qlora")
    }
    head = (32 + 1) * (2 * 1000 + 1)
    embeddings = (8192 + 512 + 2 + 2) * 32  # words, positions, segments; two vectors of a norm
    layer = 4 * (32 + 1) * 32 + 2 * 32 + (32 + 1) * 64 + (64 + 1) * 32 + 2 * 32
    lora = 256 * (4 * (32 + 32) + 2 * (32 + 64))
    for row, trained in (("full", embeddings + layer + head), ("qlora", lora + head)):
        probes = records[row]["probes"]
        assert probes["trainable_parameters"] == trained
        measured = ("documents_per_s", "inference_documents_per_s", "training_peak_bytes", "inference_peak_bytes")
        assert min(probes[key] for key in measured) > 0
    # A comparison that is stopped when a run has ended takes what its clinics have kept when it is called again.
    path = record_of(Path(found["folder"], "full", "seed-0"))
    bits, sha256 = path.with_name(artefacts.HITS), json.loads(path.read_text())["adapter_sha256"]
    held = artefacts.read(bits)
    bits.unlink()
    for clinic, each in held.items():
        artefacts.keep(artefact_file(sha256, clinic, artefacts.HITS), each)
    assert main([*footprint, "--table"]) == 0
    assert artefacts.read(bits) == held


def test_once_a_comparison_is_stopped_it_starts_no_other_run(tmp_path: Path) -> None:
    children, log = Children(), tmp_path / "run.log"
    sleeping = [sys.executable, "-c", "import time; print(0, flush=True); time.sleep(60)"]
    with ThreadPoolExecutor(1) as pool, log.open("w", encoding="utf-8") as output:
        code = pool.submit(children.run, sleeping, output, tmp_path / "status.json")
        while not log.read_text("utf-8"):
            time.sleep(0.05)
        children.end()
        assert code.result(30) == -signal.SIGTERM
        assert children.run([sys.executable, "-c", "print(1)"], output, tmp_path / "status.json") == -signal.SIGTERM
    assert log.read_text("utf-8") == "0\n"


def test_a_run_without_a_test_note_is_no_row(footprint: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*footprint, "compare.rows=full", "corpus.patients=1"]) == 1
    assert "no clinic holds a test note; the result is evaluated on test notes" in capsys.readouterr().err


def test_plain_loops_share_cores_but_not_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))  # of a machine that may have more
    assert [side_by_side(Training(threads=threads)) for threads in (1, 3, 16)] == [8, 2, 1]
    assert side_by_side(Training(device="cuda")) == 1


def test_a_row_that_fails_is_named_and_the_others_are_kept(compared: Any) -> None:
    code, lines, found = compared("compare.rows=local ca", "adapter.target_modules=[nowhere]")
    assert code == 1
    assert "] local ca, seed 0: failed (" in lines[1]
    assert "nowhere" in lines[1]
    assert found["systems"] == []


def test_the_rows_are_every_clinic_every_language_and_the_joint_ones(world: Any) -> None:
    names = [row.name for row in plan_rows(load(world.overrides))]
    assert names[:4] == ["local ca", "local es", "language ca", "language es"]
    joint = {"centralised", "centralised half", "federated", "centralised lexicon", "federated lexicon"}
    assert set(names[4:]) == joint | {"document classifier"}
    one = [row.name for row in plan_rows(load([*world.overrides, "partition=pooled"]))]
    assert one == names[2:]  # the one clinic alone is the centralised row


def test_a_clinic_that_a_seed_deals_no_training_note_is_no_row_of_that_seed(world: Any, tmp_path: Path) -> None:
    few = [*world.overrides, "partition=dirichlet", "partition.alpha=0.1", "clinics=6"]
    dealt = learners(load(few), range(3))
    assert len({frozenset(names) for names in dealt.values()}) > 1  # else nothing is tested here
    rows = list(plan_rows(load(few), range(3)))
    alone = {row.name: row.absent for row in rows if row.name.startswith("local ")}
    assert alone.keys() == {f"local {name}" for names in dealt.values() for name in names}
    planned = {(row.name, seed) for row, seed in unfinished(rows, range(3), tmp_path)}
    for seed, names in dealt.items():
        assert {name for name, of in planned if of == seed and name in alone} == {f"local {name}" for name in names}
        assert ("federated", seed) in planned
    assert seeds_begun(tmp_path) == 0
    (tmp_path / "local one" / "seed-2").mkdir(parents=True)
    assert seeds_begun(tmp_path) == 3  # a later call for one seed keeps the rows that only others have


def test_one_place_takes_as_many_windows_a_step_as_its_clinics_together(world: Any) -> None:
    mixed = [*world.overrides, "partition=iid", "clinics=4"]

    def batches(*overrides: str) -> dict[str, list[str]]:
        rows = plan_rows(load([*overrides, "training.batch_notes=3"]))
        return {row.name: [each for each in row.overrides if each.startswith("training.")] for row in rows}

    by_language, by_chance = batches(*world.overrides), batches(*mixed)
    for row in ("centralised", "centralised half", "centralised lexicon"):
        assert (by_language[row], by_chance[row]) == (["training.batch_notes=6"], ["training.batch_notes=12"])
    assert by_language["language ca"] == ["training.batch_notes=3"]
    assert by_chance["language ca"] == ["training.batch_notes=12"]
    assert by_language["federated"] == by_language["local ca"] == by_language["federated lexicon"] == []
    assert batches(*mixed, "training.batch_tokens=64")["centralised"] == ["training.batch_tokens=256"]


def test_an_unknown_row_lists_the_known_ones(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    assert main(["compare", *world.overrides, "compare.rows=centralized"]) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "choose from local ca, local es" in capsys.readouterr().err
    assert main(["compare", "seed=3"]) == 2
    assert "a comparison sets this itself" in capsys.readouterr().err


def test_joint_training_with_one_language_removed_is_that_languages_run(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "ca.jsonl").write_text(world.site_notes("ca").read_text("utf-8"), "utf-8")
    settings = [*world.overrides, "rounds=1"]
    removed, chosen = tmp_path / "removed", tmp_path / "chosen"
    assert main(["train", *settings, f"corpus.path={alone}", "partition=pooled", f"output={removed}"]) == 0
    assert main(["train", *settings, "only.language=ca", f"output={chosen}"]) == 0
    hashes = {json.loads(record_of(folder).read_text("utf-8"))["adapter_sha256"] for folder in (removed, chosen)}
    assert len(hashes) == 1


@pytest.mark.parametrize("override", ["only.clinic=fr", "only.share=0", "only.language=fr"])
def test_impossible_choices_of_notes_are_refused(override: str, world: Any) -> None:
    assert main(["train", *world.overrides, override]) == 2
