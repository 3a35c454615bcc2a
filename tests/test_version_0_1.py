"""What version 0.1 wrote still loads: a record, counts, an adapter, a checkpoint, site.toml and the keys of --json."""

import json
import shutil
from pathlib import Path

import pytest

import configs
from clinfed.cli import main
from clinfed.clinic.site import read
from clinfed.evaluation import merging
from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.tables import round_line, table_on_test
from clinfed.experiments.adapted import open_adapter
from clinfed.runs import checkpoints, documents
from clinfed.runs import record as records
from clinfed.tasks.tagging.factored import JerlFactored
from configs.migrations import completed

OLD = Path(__file__).parent / "fixtures" / "v0_1"
RUN = OLD / "run"


def test_a_record_gives_its_tables_and_its_run_again() -> None:
    record = records.read(RUN / "record.json")
    assert "federated adapter, all gold" in table_on_test(record)
    assert "| F1 .833 | ca .750 | es 1.000 |" in round_line(record["rounds"][-1])
    run = configs.load(configs.to_overrides(completed(record["config"])))
    assert isinstance(run.task, JerlFactored)
    assert run.options["task"] == "jerl_factored"


def test_counts_give_the_scores_of_the_record() -> None:
    record, counts = records.read(RUN / "record.json"), records.read_counts(RUN / records.COUNTS)
    for (system, gold), clinics in counts.items():
        assert merging.evaluation(clinics)["micro"] == record["test"][system][gold]["micro"]


def test_the_json_of_a_run_has_the_keys_that_it_had() -> None:
    had = json.loads((OLD / "summary.json").read_text("utf-8"))
    now = records.summary(records.read(RUN / "record.json"), had["record"])
    assert [*now] == [*had]
    assert now == had


def test_a_report_page_is_made_of_an_old_run(tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html"), "--notes", "0"]) == 0
    assert "federated" in (tmp_path / "page.html").read_text("utf-8")


def test_an_adapter_finds_what_it_found(tmp_path: Path) -> None:
    had = json.loads((OLD / "predicted.json").read_text("utf-8"))
    bare = [{key: each[key] for key in ("id", "text", "language", "patient")} for each in had]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(each) + "\n" for each in bare), "utf-8")
    adapter, notes, out = str(RUN / "adapter"), str(tmp_path / "notes.jsonl"), tmp_path / "found.jsonl"
    assert main(["predict", "--adapter", adapter, "--notes", notes, "--out", str(out)]) == 0
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    for ours, theirs in zip(found, had, strict=True):
        for span in [*ours["spans"], *theirs["spans"]]:
            span["score"] = pytest.approx(span["score"], abs=0.01)  # another processor rounds otherwise
        assert ours == theirs


def test_a_folder_of_an_adapter_alone_opens_by_its_own_settings(tmp_path: Path) -> None:
    shutil.copytree(RUN / "adapter", tmp_path / "ours")
    adapted = open_adapter(tmp_path / "ours")
    assert (adapted.record, len(adapted.codes)) == (None, 4)


def test_a_checkpoint_loads_with_its_best_round() -> None:
    checkpoint = checkpoints.load(OLD / "state")
    run_state = checkpoint.run_state
    assert (run_state.server.round, run_state.best and (run_state.best.round, run_state.best.score)) == (2, (1, 1.0))
    assert configs.load(configs.to_overrides(completed(checkpoint.config))).rounds == 2


def test_a_sites_settings_are_read() -> None:
    site = read((OLD / "site.toml").resolve())
    assert (site.name, site.rank_cap, site.allowed_code, site.small_cell_threshold) == ("north", 16, ("0123abcd",), 5)


def test_a_record_of_classify_stands_in_its_table_and_verifies() -> None:
    path = OLD / "classified" / "documents" / "seed-0" / "run" / documents.FILE
    [run] = read_finished([path]).values()
    assert documents.verify(run.record, run.counts) == []
