"""`clinfed report`: pages of real runs; scores verified; notes only where anyone may see them."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.evaluation import hits
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.merging import merged
from clinfed.evaluation.report.pairs import TOTALS, difference_lines, differences
from clinfed.evaluation.report.recomputed import verify
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.report.system_scores import scores
from clinfed.runs.record import read_counts, write_counts


def test_notes_of_a_site_are_shown_only_where_asked(runs: dict[str, Path], tmp_path: Path) -> None:
    hidden, shown = tmp_path / "hidden.html", tmp_path / "shown.html"
    assert main(["report", str(runs["site"]), "-o", str(hidden)]) == 0
    assert main(["report", str(runs["site"]), "-o", str(shown), "--show-notes-of-this-site"]) == 0
    assert not [path for path in tmp_path.glob("hidden*") if b"canary" in path.read_bytes()]
    assert "canary" in shown.read_text("utf-8")


def test_no_note_is_shown_of_a_run_whose_notes_are_at_sites(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["public"], copy)
    record = json.loads((copy / "record.json").read_text("utf-8"))
    for entry in record["manifest"].values():
        del entry["patients"]  # as sites' entries are
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    assert main(["report", str(copy), "-o", str(tmp_path / "page.html")]) == 0
    assert '<article class="note"' not in (tmp_path / "page.html").read_text("utf-8")
    assert main(["report", str(copy), "-o", str(tmp_path / "page.html"), "--show-notes-of-this-site"]) == 2
    assert "its notes are at the sites, not here" in capsys.readouterr().err


def test_a_run_of_another_machine_has_its_page_all_the_same(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def page_of(name: str, change: Callable[[Any], None]) -> str:
        shutil.copytree(runs["public"], tmp_path / name)
        record = json.loads((tmp_path / name / "record.json").read_text("utf-8"))
        change(record["config"])
        (tmp_path / name / "record.json").write_text(json.dumps(record), "utf-8")
        target = tmp_path / f"{name}.html"
        assert main(["report", str(tmp_path / name), "-o", str(target), "--notes", "2"]) == 0
        return target.read_text("utf-8")

    assert page_of("on-a-gpu", lambda config: config["training"].update(device="cuda")).count("<article") == 2
    assert capsys.readouterr().err == ""
    gone = {"path": str(tmp_path / "gone"), "name": "gone"}
    assert "<article" not in page_of("base-elsewhere", lambda config: config["base"].update(gone))
    assert capsys.readouterr().err.startswith("no notes are shown: base.path=")


def test_mentions_outcomes_are_kept_of_a_public_corpus_and_never_of_a_private_one(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    public, site = hits.read(runs["public"]), hits.read(runs["site"])
    assert public is not None
    record = json.loads((runs["public"] / "record.json").read_text("utf-8"))
    assert int(public.of(hits.ADAPTER).sum()) == record["test"]["centralised"]["all"]["micro"]["tp"]
    assert site is None
    # Nor does anything stay behind in the clinics' own folder.
    assert not list((runs["site"].parents[1] / "clinic" / "artefacts").glob("*"))


def test_all_scores_of_a_public_corpus_have_intervals_and_of_a_sites_some(runs: dict[str, Path]) -> None:
    public, site = (Result("centralised", {0: Finished.of(runs[name] / "record.json")}) for name in ("public", "site"))
    for each in scores(public):
        assert each.interval is not None
        assert (each.macro_interval is None) == (each.split == "validation")  # of one patient
        assert each.interval.low <= each.micro_f1 <= each.interval.high
    assert {(each.split, each.of) for each in scores(public)} >= {
        *(
            (split, of)
            for split in ("test", "validation")
            for of in ("all", "ca", "es", "codes 1-4", "worst clinic, post-selection")
        )
    }
    assert public.ensemble is not None
    assert all(each.group_intervals("codes 1-4").micro for each in (public.ensemble, *public.lexicons.values()))
    for each in scores(site):
        assert (each.macro_interval, each.interval is None) == (None, each.of.startswith("codes"))
    assert not [*runs["site"].glob("*unit_counts*")]


def test_changed_counts_by_patient_are_found(runs: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    for file, said in (("unit_counts.json", "test, "), ("validation_unit_counts.json", "validation, ")):
        copy = Path(shutil.copytree(runs["public"], tmp_path / file))
        tree = json.loads((copy / file).read_text("utf-8"))
        next(filter(None, tree["ca"]["adapter"].values()))[0][2] += 1  # a true positive more
        (copy / file).write_text(json.dumps(tree), "utf-8")
        assert main(["report", str(copy), "--verify"]) == 1
        assert f"differs: {said}centralised, counts by patient" in capsys.readouterr().out


def test_a_clinic_that_keeps_no_counts_by_patient_takes_nothing_from_what_is_verified(runs: dict[str, Path]) -> None:
    finished = Finished.of(runs["public"] / "record.json")
    units = {split: {system: dict(of) for system, of in each.items()} for split, each in finished.units.items()}
    del units["test"]["adapter"]["ca"]  # as of validation notes, where a clinic has no test note
    fewer = replace(finished, units=units)
    assert verify(fewer) == []
    assert Result("centralised", {0: fewer}).system.group_intervals("all").macro is None
    units["test"]["adapter"]["es"] = {}
    assert verify(fewer) == ["test, centralised, counts by patient"]


def test_two_runs_are_tested_by_mention_where_anyone_may_see_them(runs: dict[str, Path]) -> None:
    public, site = (Finished.of(runs[name] / "record.json") for name in ("public", "site"))
    one, same = Result("one", {0: public}), Result("same", {0: public})
    lines = difference_lines([one, same], differences([one, same]))
    assert "0 mentions found by the first only, 0 by the second only, p 1.000" in lines[2]
    hidden = [Result("one", {0: site}), Result("same", {0: site})]
    refused = difference_lines(hidden, differences(hidden))[-1]
    assert refused.startswith("McNemar refused")
    assert refused.endswith("corpus=jsonl.")
    elsewhere = replace(public, hits=replace(public.hits, mentions={"ca": "of other notes"}))
    dealt = [one, Result("dealt otherwise", {0: elsewhere})]
    assert "on the same mentions at the same clinics" in difference_lines(dealt, differences(dealt))[-1]
    assert difference_lines([one], differences([one]))[-1].startswith(
        "McNemar: none."
    )  # a lexicon's mentions are not kept


def test_any_two_systems_are_paired_joins_and_lexicons_among_them(runs: dict[str, Path]) -> None:
    run = Finished.of(runs["public"] / "record.json")
    results = [Result("one", {0: run}), Result("same", {0: run}), Result("other seeds", {1: run})]
    lexicons = ["lexicon, pooled", "lexicons, each clinic's own"]
    paired = [{each["ours"], each["theirs"]} for each in differences(results)]
    same_seed = ["one", "same", "one + lexicon", "same + lexicon"]
    wanted = [set(pair) for pair in combinations([*same_seed, *lexicons], 2)]
    wanted += [{row, lexicon} for row in ("other seeds", "other seeds + lexicon") for lexicon in lexicons]
    wanted += [{"other seeds", "other seeds + lexicon"}]
    assert sorted(map(sorted, paired)) == sorted(map(sorted, wanted))
    [joined] = [each for each in differences(results) if (each["ours"], each["theirs"]) == ("one", "one + lexicon")]
    found = run.adapter.micro().f1 - merged(run.counts["joined", "all"]).micro().f1
    assert joined["f1"] == pytest.approx(found)


def test_scores_are_verified_and_a_changed_one_is_found(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs["public"]), "--verify"]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(runs["public"], copy)
    record = json.loads((copy / "record.json").read_text("utf-8"))
    record["test"]["centralised"]["all"]["micro"]["tp"] += 1
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    capsys.readouterr()
    assert main(["report", str(copy), "--verify"]) == 1
    assert "differs: centralised, all gold" in capsys.readouterr().out
    record["test"]["centralised"]["all"]["micro"]["tp"] -= 1
    record["differences"]["pooled_lexicon"]["interval"][0] -= 0.001
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    assert main(["report", str(copy), "--verify"]) == 1
    assert "differs: centralised minus pooled_lexicon" in capsys.readouterr().out
    shutil.copy(runs["public"] / "record.json", copy)
    record = json.loads((copy / "record.json").read_text("utf-8"))
    record["rounds"][-1]["validation"]["interval"][1] += 0.001
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    assert main(["report", str(copy), "--verify"]) == 1
    assert "differs: validation" in capsys.readouterr().out
    (copy / "validation_counts.json").unlink()
    assert main(["report", str(copy), "--verify"]) == 1
    assert "differs: validation" in capsys.readouterr().out
    for each in (validation := record["rounds"][-1]["validation"], *validation["by_language"].values()):
        each["interval"] = None  # as older versions had it, which kept no counts
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    assert main(["report", str(copy), "--verify"]) == 0
    assert "all test scores again" in capsys.readouterr().out


def test_any_two_rows_are_compared_by_code(runs: dict[str, Path], tmp_path: Path) -> None:
    worse = tmp_path / "worse"
    shutil.copytree(runs["public"], worse)
    record = json.loads((worse / "record.json").read_text("utf-8"))
    record["config"]["training"]["learning_rate"] = 0.5
    (worse / "record.json").write_text(json.dumps(record), "utf-8")
    counts = read_counts(worse / "counts.json")
    clinics = counts["centralised", "all"]
    missed = {
        name: SpanCounts({key: Counts(0, each.fp, each.support) for key, each in of.by_code.items()}, of.replicates)
        for name, of in clinics.items()
    }
    write_counts(worse / "counts.json", counts | {("centralised", "all"): missed})
    command = ["report", str(runs["public"]), str(worse), "-o", str(tmp_path / "two.html"), "--notes", "0"]
    assert main(command) == 0
    found = sum(each.micro().tp for each in clinics.values())
    assert found > 0
    *_, last = (tmp_path / "two-surplus.csv").read_text("utf-8").splitlines()
    assert last.split(",")[2:] == [str(found), "0", str(found)]
    assert (tmp_path / "two.html").read_text("utf-8").count(f"<tr><td>{TOTALS}</td>") == 1  # below what is sorted
    assert main([*command, "--by-code", "centralised (training.learning_rate=0.5)", "no such row"]) == 2
    assert (
        main([*command, "--by-code", *(f"centralised (training.learning_rate={each})" for each in (0.5, 0.002))]) == 0
    )
    *_, last = (tmp_path / "two-surplus.csv").read_text("utf-8").splitlines()
    assert last.split(",")[2:] == ["0", str(found), str(-found)]


def test_every_score_stands_in_one_table(page: Path, runs: dict[str, Path]) -> None:
    with (page.parent / "report-scores.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == "centralised"]
    of = {(row["split"], row["of"]): row for row in rows}
    record = json.loads((runs["public"] / "record.json").read_text("utf-8"))
    test, validation = record["test"]["centralised"]["all"], record["rounds"][-1]["validation"]
    for split, evaluated in (("test", test), ("validation", validation)):
        assert [float(of[split, "all"][bound]) for bound in ("low", "high")] == pytest.approx(
            evaluated["interval"], abs=6e-4
        )
        assert float(of[split, "all"]["micro-F1"]) == pytest.approx(evaluated["micro"]["f1"], abs=6e-4)
        assert float(of[split, "all"]["macro-F1"]) == pytest.approx(evaluated["macro"]["gold_or_predicted"], abs=6e-4)
        for language in ("ca", "es"):
            expected = evaluated["by_language"][language]["f1"]
            assert float(of[split, language]["micro-F1"]) == pytest.approx(expected, abs=6e-4)
        lowest = min(each["f1"] for each in evaluated["by_clinic"].values())
        assert float(of[split, "worst clinic, post-selection"]["micro-F1"]) == pytest.approx(lowest, abs=6e-4)
        frequent = {f"codes {band}": each for band, each in evaluated["bands"].items() if band != "0"}
        held = {name: each["f1"] for name, each in frequent.items() if each["tp"] + each["fn"]}
        assert {name for of_split, name in of if of_split == split and name.startswith("codes")} == held.keys()
        for name, f1 in held.items():
            assert float(of[split, name]["micro-F1"]) == pytest.approx(f1, abs=6e-4)
        assert held


def test_the_worst_clinic_is_the_one_with_the_lowest_f1(runs: dict[str, Path]) -> None:
    finished = Finished.of(runs["public"] / "record.json")
    drawn = finished.by_clinic("validation")["ca"].replicates
    found = {"a": Counts(2, 3, 3), "b": Counts(1, 4, 4), "c": Counts(3, 2, 2), "only false positives": Counts(fp=1)}
    evaluated = {name: SpanCounts({("ca", "I10"): counts}, drawn) for name, counts in found.items()}
    validated = {("centralised", "all"): evaluated}
    found = scores(Result("centralised", {0: replace(finished, validated=validated)}))
    lowest = [
        each.micro_f1 for each in found if (each.split, each.of) == ("validation", "worst clinic, post-selection")
    ]
    assert lowest == [0.0]


def test_less_than_no_note_cannot_be_shown(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs["public"]), "--notes", "-1"]) == 2
    assert "--notes=-1: expected at least 0" in capsys.readouterr().err


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "no run record" in capsys.readouterr().err
