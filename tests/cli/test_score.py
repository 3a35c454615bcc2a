"""`clinfed score` evaluates files of every kind and refuses what cannot be evaluated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clinfed.cli import main
from clinfed.corpus.note import Note, PredictedNote, Prediction, Span
from clinfed.corpus.writers import write_brat, write_codiesp, write_jsonl

SPAN = Span(((0, 3),), "R05")
OTHER = Span(((6, 10),), "J45")
APART = Span(((0, 3), (6, 10)), "R52")
GOLD = [
    Note("n1", "tos y asma", (SPAN, OTHER), "es", "p1", "north"),
    Note("n2", "tos i asma", (SPAN,), "ca", "p2", "south"),
    Note("n3", "tos y asma", (APART, SPAN), "es", "p3", "south"),
]
# n1: one right, one with a wrong code; n2 is absent; n3: the discontinuous one right
PREDICTED = [
    replace(GOLD[0], spans=(SPAN, Span(((6, 10),), "J46"))),
    replace(GOLD[2], spans=(APART,)),
]


def scored(capsys: pytest.CaptureFixture[str], gold: Path, pred: Path, *options: str) -> dict:
    assert main(["score", "--gold", str(gold), "--pred", str(pred), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_jsonl(GOLD, tmp_path / "gold.jsonl")
    write_jsonl(PREDICTED, tmp_path / "pred.jsonl")
    write_brat(GOLD, tmp_path / "gold")
    write_brat(PREDICTED, tmp_path / "pred")
    return tmp_path


@pytest.mark.parametrize("gold", ["gold.jsonl", "gold"])
@pytest.mark.parametrize("pred", ["pred.jsonl", "pred"])
def test_any_two_kinds_give_the_same_scores(files: Path, capsys: pytest.CaptureFixture[str], gold: str, pred: str):
    found = scored(capsys, files / gold, files / pred)
    # gold 2 + 1 + 2, predicted 2 + 0 + 1, right 1 + 0 + 1
    assert found["micro"] == {
        "tp": 2,
        "fp": 1,
        "fn": 3,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 5),
        "f1": pytest.approx(4 / 8),
    }
    # R05 2/4 (one of three found), R52 1, J45 0, J46 0 (only predicted)
    assert found["macro"] == {"gold_or_predicted": pytest.approx(1.5 / 4), "gold": pytest.approx(1.5 / 3)}
    assert found["by_language"]["ca"]["fn"] == 1
    assert found["by_clinic"]["north"]["f1"] == pytest.approx(1 / 2)
    for f1, (low, high) in ((0.5, found["interval"]), (0.375, found["macro_interval"])):
        assert low < f1 < high
    # The band of gold's three codes: 2 of 5, none wrong.
    band = found["bands"]["1-4"]
    assert band["f1"] == pytest.approx(4 / 7)
    right = [replace(note, spans=tuple(span for span in note.spans if span.code != "J46")) for note in PREDICTED]
    write_jsonl(right, files / "without_j46.jsonl")
    assert band["interval"] == scored(capsys, files / gold, files / "without_j46.jsonl")["interval"]


def test_codiesp_is_evaluated_from_its_table_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "dev"
    (folder / "text_files").mkdir(parents=True)
    (folder / "text_files" / "d1.txt").write_text("tos y asma")
    (folder / "text_files" / "d2.txt").write_text("asma")
    (folder / "devX.tsv").write_text("d1\tDIAGNOSTICO\tr05\ttos\t0 3\nd1\tDIAGNOSTICO\tj45.9\ttos asma\t0 3;6 10\n")
    table = tmp_path / "mine.tsv"
    table.write_text("d1\tDIAGNOSTICO\tj45.9\ttos asma\t0 3;6 10\nd1\tPROCEDIMIENTO\t0dj0\ttos\t0 3\n")
    for gold in (folder, folder / "devX.tsv"):
        found = scored(capsys, gold, table)
        assert (found["micro"]["tp"], found["micro"]["fp"], found["micro"]["fn"]) == (1, 0, 1)


def test_codiesp_dev_as_its_own_prediction_is_perfect(
    codiesp_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = tmp_path / "devX.tsv"
    table.write_bytes((codiesp_path / "dev" / "devX.tsv").read_bytes())
    found = scored(capsys, codiesp_path / "dev", table)
    assert (found["micro"]["tp"], found["micro"]["fp"], found["micro"]["fn"]) == (3431, 0, 0)


def test_conll_files_are_matched_by_the_number_of_the_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "gold.conll").write_text("tos\tB-R05\n\nasma\tB-J45\n")
    (tmp_path / "pred.conll").write_text("tos\tB-R05\n\nasma\tO\n")
    found = scored(capsys, tmp_path / "gold.conll", tmp_path / "pred.conll")
    assert (found["micro"]["tp"], found["micro"]["fn"]) == (1, 1)


@pytest.mark.parametrize("suffix", ["jsonl", "tsv"])
def test_predictions_in_another_format_keep_the_ids_of_conll(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
):
    (tmp_path / "gold.conll").write_text("tos\tB-R05\n\nasma\tB-J45\n")
    predicted = [PredictedNote("gold#1", "tos", (SPAN,), predictions=(Prediction("", 1.0),))]
    {"jsonl": write_jsonl, "tsv": write_codiesp}[suffix](predicted, tmp_path / f"pred.{suffix}")
    found = scored(capsys, tmp_path / "gold.conll", tmp_path / f"pred.{suffix}")
    assert (found["micro"]["tp"], found["micro"]["fp"], found["micro"]["fn"]) == (1, 0, 1)


def test_the_same_seed_gives_the_same_interval_and_another_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gold = [Note(str(i), "tos y asma", (SPAN, OTHER, APART), "es") for i in range(30)]
    write_jsonl(gold, tmp_path / "gold.jsonl")
    write_jsonl([replace(note, spans=note.spans[: int(note.id) % 4]) for note in gold], tmp_path / "pred.jsonl")
    one, same, other = (
        scored(capsys, tmp_path / "gold.jsonl", tmp_path / "pred.jsonl", "--seed", seed)["interval"]
        for seed in ("1", "1", "2")
    )
    assert one == same != other


def test_without_json_a_table_is_printed(files: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["score", "--gold", str(files / "gold"), "--pred", str(files / "pred")]) == 0
    head, row, below = capsys.readouterr().out.splitlines()
    assert below == "1 of 3 gold notes have no prediction; each counts as predicted empty."
    assert head.split()[:4] == ["system", "P", "R", "F1"]
    assert ".667  .400  .500 [" in row
    assert " .375 [" in row


def refused(capsys: pytest.CaptureFixture[str], gold: Path, pred: Path) -> str:
    assert main(["score", "--gold", str(gold), "--pred", str(pred)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_predicted_note_that_gold_lacks_is_refused_without_its_name(files: Path, capsys: pytest.CaptureFixture[str]):
    write_jsonl([*PREDICTED, Note("SECRET", "tos")], files / "more.jsonl")
    error = refused(capsys, files / "gold.jsonl", files / "more.jsonl")
    assert "1 predicted note(s) are not among the 3 gold notes" in error
    assert "SECRET" not in error


def test_predictions_on_another_text_are_refused(files: Path, capsys: pytest.CaptureFixture[str]):
    write_jsonl([replace(PREDICTED[0], text="Tos seca y asma")], files / "changed.jsonl")
    assert "1 note(s) differ in text from those given" in refused(capsys, files / "gold.jsonl", files / "changed.jsonl")


def test_what_is_not_there_or_no_notes_is_refused(files: Path, capsys: pytest.CaptureFixture[str]):
    (files / "empty").mkdir()
    (files / "broken.tsv").write_text("d1\tDIAGNOSTICO\tr05\n")
    assert "no such file or folder" in refused(capsys, files / "gold", files / "nowhere")
    assert "no such file" in refused(capsys, files / "gold", files / "nowhere.tsv")
    assert "no notes of a known kind" in refused(capsys, files / "gold", files / "empty")
    assert "broken.tsv:1: a row that is not CodiEsp's" in refused(capsys, files / "gold", files / "broken.tsv")


def test_bad_notes_are_counted_and_left_out_when_asked(files: Path, capsys: pytest.CaptureFixture[str]):
    bad = '{"id": "n4", "text": "tos", "spans": [{"start": 0, "end": 9, "code": "R05"}]}\n'
    (files / "bad.jsonl").write_text((files / "gold.jsonl").read_text() + bad)
    assert "span [0, 9)" in refused(capsys, files / "bad.jsonl", files / "pred.jsonl")
    arguments = ["score", "--gold", str(files / "bad.jsonl"), "--pred", str(files / "pred.jsonl"), "--skip-bad"]
    assert main(arguments) == 0
    assert "span past the end: 1" in capsys.readouterr().err
