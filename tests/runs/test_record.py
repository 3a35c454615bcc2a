"""The run record is written whole, read back, and summed up from merged counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.errors import UserError
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.merging import difference, evaluation, paired_differences
from clinfed.evaluation.report.tables import fraction, round_line, table_on_test, worst_clinic
from clinfed.evaluation.scores import Evaluation
from clinfed.evaluation.spans import EvaluatedNote, count_spans
from clinfed.runs.record import SCHEMA, RunRecord, read, summary, write


def counts(language: str, *, right: int, gold: int, replicates: int = 100) -> SpanCounts:
    """Return the counts of one patient with some gold mentions, of which some are predicted."""
    spans = [Span(((i, i + 1),), "R05") for i in range(gold)]
    note = EvaluatedNote(f"patient-{language}", language, frozenset(spans), frozenset(spans[:right]))
    return count_spans([note], replicates=replicates)


def two_clinics(*, right: int) -> Evaluation:
    return evaluation({"north": counts("ca", right=right, gold=1), "south": counts("es", right=right, gold=9)})


def sample() -> RunRecord:
    clinic = {"loss": 0.5, "notes": 4, "seconds": {"train": 1.0}, "bytes_up": 10, "bytes_down": 20}
    return {
        "schema": SCHEMA,
        "started": "2025-01-01T00:00:00Z",
        "config": {"rounds": 2},
        "fingerprints": {"code": "c0de"},
        "versions": {"python": "3.11"},
        "seeds": {"run": 0, "bootstrap": 0},
        "machine": {"name": "m", "cores": 2, "threads": 1},
        "labels": {"name": "a public list (closed set)", "codes": 1767, "ceiling_recall": 0.648, "ceiling_f1": 0.787},
        "manifest": {},
        "rounds": [
            {
                "round": number,
                "clinics": {"north": clinic, "south": clinic},
                "loss": 0.5,
                "validation": two_clinics(right=1),
                "aggregate_s": 0.1,
                "seconds": 2.5,
                "bytes_up": 3_300_000,
                "bytes_down": 6_600_000,
            }
            for number in (1, 2)
        ],
        "chosen_round": 2,
        "chosen_by": "last round",
        "test": {
            "clinic_lexicons": {"all": two_clinics(right=0)},
            "federated": {"all": two_clinics(right=1), "representable": two_clinics(right=2)},
            "pooled_lexicon": {"all": two_clinics(right=1)},
        },
        "differences": {"pooled_lexicon": {"f1": -0.014, "interval": [-0.03, 0.0]}},
        "probes": {"trainable_parameters": 1.0},
        "adapter_sha256": "ad",
        "base_loads": 2,
        "workers": 2,
        "bytes_up": 1,
        "bytes_down": 2,
        "seconds": 9.0,
    }


def test_a_evaluation_merges_clinics_and_names_the_worst():
    merged = two_clinics(right=1)
    assert (merged["micro"]["tp"], merged["micro"]["fn"]) == (2, 8)
    assert merged["micro"]["f1"] == pytest.approx(4 / 12)  # 2*2 / (2*2 + 8); the clinics' mean would be (1 + 0.2) / 2
    assert merged["by_language"]["es"]["f1"] == pytest.approx(2 / 10)
    assert merged["by_language"]["es"]["interval"] is not None
    assert merged["bands"]["5-19"]["tp"] == 2  # support 10 is of both clinics together
    assert worst_clinic(merged["by_clinic"]) == ".200 (south)"


def test_a_clinic_without_gold_mentions_is_not_the_worst():
    merged = evaluation({"empty": counts("es", right=0, gold=0), "south": counts("es", right=1, gold=2)})
    assert worst_clinic(merged["by_clinic"]) == ".667 (south)"
    assert worst_clinic(evaluation({})["by_clinic"]) == "-"


def test_a_evaluation_without_replicates_has_no_interval():
    assert evaluation({"south": counts("es", right=1, gold=2, replicates=0)})["interval"] is None


def test_a_difference_is_paired():
    better, worse = counts("es", right=2, gold=2), counts("es", right=1, gold=2)
    found = difference(better, worse)
    assert found["f1"] == pytest.approx(1 - 2 / 3)
    assert found["interval"][1] == pytest.approx(1 - 2 / 3)


def test_only_what_the_same_clinics_have_evaluated_is_paired():
    better, worse = counts("es", right=2, gold=2), counts("es", right=1, gold=2)
    evaluated = {
        "adapter": {"north": better, "south": worse},
        "lexicon": {"north": worse, "south": worse},
        "elsewhere": {"north": worse},
    }
    assert paired_differences(evaluated, "adapter") == {"lexicon": difference(better + worse, worse + worse)}
    assert paired_differences(evaluated, "not evaluated") == {}


def test_the_record_comes_back_as_it_was_written(tmp_path: Path):
    write(tmp_path / "runs" / "run.json", sample())
    assert read(tmp_path / "runs" / "run.json") == sample()
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["run.json"]


def test_a_failed_write_leaves_the_old_record(tmp_path: Path):
    write(tmp_path / "run.json", sample())
    broken = sample()
    broken["seconds"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "run.json", broken)
    assert read(tmp_path / "run.json") == sample()


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path):
    record = sample()
    record["bytes_up"] = np.int64(7)  # type: ignore[typeddict-item]
    write(tmp_path / "run.json", record)
    assert json.loads((tmp_path / "run.json").read_text())["bytes_up"] == 7


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}'])
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json: .*(no run record|expected 1)"):
        read(tmp_path / "run.json")


def test_the_summary_has_what_the_command_promises():
    found = summary(sample(), Path("/somewhere/run.json"))
    assert found["micro_f1"] == pytest.approx(1 / 3)
    assert found["macro_f1"] == pytest.approx(1 / 3)
    assert found["by_language"] == {"ca": 1.0, "es": pytest.approx(0.2)}
    assert (found["lexicon_micro_f1"], found["local_lexicon_micro_f1"]) == (pytest.approx(1 / 3), 0.0)
    assert (found["rounds"], found["record"]) == (2, "/somewhere/run.json")
    deployed = sample()
    del deployed["test"]["pooled_lexicon"]  # nobody in a real federation holds the notes for it
    assert summary(deployed, "run.json")["lexicon_micro_f1"] is None
    rest = ("adapter_sha256", "base_loads", "workers", "bytes_up", "bytes_down", "seconds")
    assert [found[key] for key in rest] == ["ad", 2, 2, 1, 2, 9.0]


def test_a_round_is_one_line():
    assert round_line(sample()["rounds"][0]) == (
        "round 1 | 2 clinics | loss 0.500 | F1 .333 | ca 1.000 | es .200 | worst .200 (south) | 2.5 s | "
        "up 3.30 MB down 6.60 MB"
    )


def test_a_round_that_was_not_validated_shows_no_score():
    unevaluated = {**sample()["rounds"][0], "validation": None}
    assert round_line(unevaluated) == "round 1 | 2 clinics | loss 0.500 | 2.5 s | up 3.30 MB down 6.60 MB"


def test_the_test_table_shows_systems_golds_and_the_ceiling():
    text = table_on_test(sample())
    rows = [line.split("  ")[0] for line in text.splitlines()]
    expected = [
        "federated adapter, all gold",
        "federated adapter, representable gold",
        "lexicon, pooled, all gold",
        "lexicons, each clinic's own, all gold",
    ]
    assert [row for row in rows if row.endswith(" gold")] == expected
    assert "a public list (closed set), 1,767 codes." in text
    assert "recall .648, F1 .787 against all gold" in text
    assert "adapter of round 2 (last round)" in text
    assert "federated adapter minus lexicon, pooled: -.014 [-.030, .000] F1, paired" in text


def test_representable_gold_stands_in_the_test_table_only_where_it_differs():
    record = sample()
    assert "representable = those" in table_on_test(record)
    record["test"]["federated"]["representable"] = record["test"]["federated"]["all"]
    assert "representable" not in table_on_test(record)
    assert "federated adapter, all gold" in table_on_test(record)


@pytest.mark.parametrize(("value", "text"), [(0.6214, ".621"), (1.0, "1.000"), (0.9996, "1.000"), (-0.25, "-.250")])
def test_fractions_have_three_decimals(value: float, text: str):
    assert fraction(value) == text


def test_the_test_table_says_what_could_not_be_represented_or_read():
    record = sample() | {
        "unrepresentable": {"train": {"overlapping": 2, "discontinuous": 1}, "validation": {}},
        "skipped": {"north": {"procedure": 3}, "south": {"procedure": 3}, "west": {}},
    }
    lines = table_on_test(record).splitlines()
    assert "Not trained, since one tag a word cannot hold it: train 1 discontinuous, 2 overlapping." in lines
    assert "Left out, merged or ignored in reading: 3 procedure (north, south)." in lines
    assert "Not trained" not in table_on_test(sample())
