"""`clinfed score` says what its scores rest on, and its remedies work."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.corpus.note import Note, Span
from clinfed.corpus.writers import write_jsonl

ASMA, TOS = Span(((0, 4),), "J45.9"), Span(((7, 10),), "R05")
GOLD = [Note(f"n{number}", "Asma i tos.", (ASMA, TOS), "ca", f"p{number}") for number in range(5)]


def score(capsys: pytest.CaptureFixture[str], gold: Path, pred: Path, *options: str) -> tuple[int, str, str]:
    code = main(["score", "--gold", str(gold), "--pred", str(pred), *options])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def scores(capsys: pytest.CaptureFixture[str], gold: Path, pred: Path, *options: str) -> dict[str, Any]:
    code, out, _ = score(capsys, gold, pred, *options, "--json")
    assert code == 0
    return json.loads(out)


def written(folder: Path, name: str, notes: list[Note]) -> Path:
    write_jsonl(notes, folder / name)
    return folder / name


def test_notes_without_prediction_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, pred = written(tmp_path, "gold.jsonl", GOLD), written(tmp_path, "pred.jsonl", GOLD[:2])
    assert "3 of 5 gold notes have no prediction; each counts as predicted empty." in score(capsys, gold, pred)[1]
    found = scores(capsys, gold, pred)
    assert found["notes"] == {"gold": 5, "without_prediction": 3, "left_out": 0}
    assert found["micro"]["recall"] == pytest.approx(2 / 5)


def test_a_whole_prediction_is_told_nothing_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = written(tmp_path, "gold.jsonl", GOLD)
    assert len(score(capsys, gold, gold)[1].splitlines()) == 2  # head and scores


def test_another_text_of_the_same_length_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = written(tmp_path, "gold.jsonl", GOLD)
    pred = written(tmp_path, "pred.jsonl", [replace(note, text="Tos i asma.") for note in GOLD[:3]])
    code, _, error = score(capsys, gold, pred)
    assert code == 2
    assert "3 note(s) differ in text from those given" in error
    assert "sma" not in error


@pytest.mark.parametrize("text", ["Asma\ni\u00a0tos.", "ASMA I TOS.", "Asma i tos.\n"])
def test_blanks_and_case_make_no_other_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    gold = written(tmp_path, "gold.jsonl", GOLD)
    pred = written(tmp_path, "pred.jsonl", [replace(note, text=text) for note in GOLD])
    assert scores(capsys, gold, pred)["micro"]["f1"] == 1.0


@pytest.mark.parametrize("predicted", [1, 5])
def test_scores_of_nothing_are_undefined(tmp_path: Path, capsys: pytest.CaptureFixture[str], predicted: int) -> None:
    empty = [replace(note, spans=()) for note in GOLD]
    gold = written(tmp_path, "gold.jsonl", empty)
    pred = written(tmp_path, "pred.jsonl", empty[:predicted])
    code, out, _ = score(capsys, gold, pred)
    assert code == 0
    assert set(out.splitlines()[1].removeprefix("predicted, all gold").split()) == {"-"}
    assert "No gold note holds a mention." in out
    found = scores(capsys, gold, pred)
    undefined = {"tp": 0, "fp": 0, "fn": 0, "precision": None, "recall": None, "f1": None}
    assert found["micro"] == undefined
    assert found["by_language"]["ca"] == undefined | {"interval": None}
    assert found["macro"] == {"gold_or_predicted": None, "gold": None}
    assert found["interval"] is None
    assert found["macro_interval"] is None


def test_a_language_without_a_mention_is_undefined_and_the_others_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = written(tmp_path, "gold.jsonl", [*GOLD[:2], replace(GOLD[2], spans=(), language="es")])
    head, row = score(capsys, gold, gold)[1].splitlines()
    assert row[head.index("ca") :].split()[0] == "1.000"
    assert row[head.index("es") :].split()[0] == "-"


def test_false_positives_alone_are_f1_0_and_the_worst_clinic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = [replace(GOLD[0], clinic="north"), replace(GOLD[1], clinic="south", spans=()), replace(GOLD[2], spans=())]
    pred = [gold[0], replace(gold[1], spans=(ASMA,)), gold[2]]
    out = score(capsys, written(tmp_path, "gold.jsonl", gold), written(tmp_path, "pred.jsonl", pred))[1]
    assert ".000 (south)" in out
    # With predictions and no gold: P 0, and R has nothing to find but is 0 beside an F1 of 0.
    assert scores(capsys, tmp_path / "gold.jsonl", tmp_path / "pred.jsonl")["by_clinic"]["south"]["f1"] == 0.0


@pytest.mark.parametrize("faulty", [1, 2])
def test_predictions_of_gold_notes_that_were_skipped_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], faulty: int
) -> None:
    gold, pred = written(tmp_path, "gold.jsonl", GOLD), written(tmp_path, "pred.jsonl", GOLD)
    lines = gold.read_text().splitlines()
    bad = [line.replace("R05", "RXX5") if number < faulty else line for number, line in enumerate(lines)]
    gold.write_text("\n".join(bad) + "\n")
    found = scores(capsys, gold, pred, "--skip-bad")
    assert found["micro"]["tp"] == 2 * (5 - faulty)
    assert found["micro"]["fp"] == 0
    assert found["notes"] == {"gold": 5 - faulty, "without_prediction": 0, "left_out": faulty}
    assert f"{faulty} predicted notes are left out" in score(capsys, gold, pred, "--skip-bad")[1]


def test_more_foreign_predictions_than_skipped_notes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = written(tmp_path, "gold.jsonl", GOLD[:2])
    gold.write_text(gold.read_text().replace("R05", "RXX5", 1))
    code, _, error = score(capsys, gold, written(tmp_path, "pred.jsonl", GOLD), "--skip-bad")
    assert code == 2  # one gold note was skipped, four predictions are foreign
    assert "4 predicted note(s) are not among the 1 gold notes" in error


@pytest.fixture
def codiesp(tmp_path: Path) -> Path:
    folder = tmp_path / "dev"
    (folder / "text_files").mkdir(parents=True)
    (folder / "text_files" / "c1.txt").write_text("asma y tos seca")
    (folder / "devX.tsv").write_text("c1\tDIAGNOSTICO\tj45.9\tasma\t0 4\nc1\tDIAGNOSTICO\tr05\ttos seca\t7 10;11 15\n")
    return folder


def test_the_submission_form_of_the_task_is_read(
    codiesp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "sent.tsv"
    table.write_text("c1\t0 4\tDIAGNOSTICO\tj45.9\nc1\t7 10;11 15\tDIAGNOSTICO\tR05\nc1\t0 4\tPROCEDIMIENTO\t0dj0\n\n")
    found = scores(capsys, codiesp, table)["micro"]
    assert (found["tp"], found["fp"], found["fn"]) == (2, 0, 0)


@pytest.mark.parametrize(
    "bad", ["doc\tlabel\tcode\ttext\tpos", "c1\tDIAGNOSTICO\tnone\tasma\t0 4", "c1\t0 4\tD\tj45.9"]
)
def test_faulty_rows_of_a_table_are_counted_when_asked(
    codiesp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    table = tmp_path / "sent.tsv"
    table.write_text(f"{bad}\nc1\tDIAGNOSTICO\tj45.9\tasma\t0 4\n")
    code, _, error = score(capsys, codiesp, table)
    assert code == 2
    assert "sent.tsv:1: " in error
    code, out, error = score(capsys, codiesp, table, "--skip-bad")
    assert code == 0
    assert "sent.tsv: broken " in error
    assert "1.000  .500" in out


def test_gold_of_which_no_note_is_left_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gold.jsonl").write_text('{"id": "n0", "text": ""}\n')
    code, out, err = score(capsys, tmp_path / "gold.jsonl", written(tmp_path, "pred.jsonl", GOLD), "--skip-bad")
    assert (code, out) == (2, "")
    assert "gold.jsonl: no note is left to evaluate" in err


ROW = "n0\tDIAGNOSTICO\tj45.9\tAsma\t0 4"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (f"{ROW}\nn0\tDIAGNOSTICO\tr05\tcanary\t7 12\n", r"pred\.tsv:2: span \[7, 12\) ends past the note"),
        ("n0\t7 12\tDIAGNOSTICO\tr05\n", r"pred\.tsv:1: span \[7, 12\) ends past the note \(11 characters\)"),
        (f"{ROW}\rn0\tDIAGNOSTICO\tr05\tcanary\t7 10\r\n", r"pred\.tsv:1: a carriage return \(CR\) inside the line"),
    ],
)
def test_rows_of_a_table_that_no_note_can_hold_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, found: str
) -> None:
    (tmp_path / "pred.tsv").write_bytes(rows.encode())
    code, _, err = score(capsys, written(tmp_path, "gold.jsonl", GOLD), tmp_path / "pred.tsv")
    assert code == 2
    assert re.search(found, err)
    assert "canary" not in err


def test_what_is_strange_in_a_table_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROW, ROW, "n0\tDIAGNOSTICO\tr05\tcanary\t7 10"]
    (tmp_path / "pred.tsv").write_bytes("".join(f"{row}\r\n" for row in rows).encode())
    code, _, err = score(capsys, written(tmp_path, "gold.jsonl", GOLD[:1]), tmp_path / "pred.tsv")
    assert code == 0
    counts = [
        "line ends CR LF (converted): 1",
        "repeated mention (merged): 1",
        "surface differs from the text (kept): 1",
    ]
    assert [line.partition(": ")[2] for line in err.splitlines()] == counts
