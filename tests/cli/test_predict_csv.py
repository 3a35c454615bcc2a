"""`clinfed predict --out found.csv`: a table without the words of notes; unknown endings are refused."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.corpus.csv_table import write_csv
from clinfed.corpus.forms import format_of
from clinfed.corpus.note import PredictedNote, Prediction, Span
from clinfed.corpus.readers import jsonl
from clinfed.errors import UserError

ASTHMA, PAIN = Span(((0, 4),), "J45.9"), Span(((7, 12),), "R52")
TITLED = (Prediction("Asma, no especificada", 0.5), Prediction("", 1.0))
NOTE = PredictedNote("n-1", "asma y dolor", (ASTHMA, PAIN), predictions=TITLED)


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_a_row_a_mention_without_words(tmp_path: Path) -> None:
    write_csv([NOTE], tmp_path / "found.csv")
    assert rows(tmp_path / "found.csv") == [
        ["note", "start", "end", "code", "title", "score"],
        ["n-1", "0", "4", "J45.9", "Asma, no especificada", "0.5000"],
        ["n-1", "7", "12", "R52", "", "1.0000"],
    ]
    assert "dolor" not in (tmp_path / "found.csv").read_text()


def test_words_stand_after_the_offsets_where_asked_for(tmp_path: Path) -> None:
    write_csv([NOTE], tmp_path / "found.csv", with_text=True)
    assert [row[:5] for row in rows(tmp_path / "found.csv")[:2]] == [
        ["note", "start", "end", "text", "code"],
        ["n-1", "0", "4", "asma", "J45.9"],
    ]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", " =", "\t=", "\r@"])
def test_no_cell_begins_a_formula(first: str, tmp_path: Path) -> None:
    title = f"{first}HYPERLINK(1)"
    write_csv([PredictedNote("-n", "asma", (ASTHMA,), predictions=(Prediction(title, 0.5),))], tmp_path / "found.csv")
    assert rows(tmp_path / "found.csv")[1] == ["'-n", "0", "4", "J45.9", "'" + re.sub(r"[\t\r]", " ", title), "0.5000"]


def test_a_mention_of_several_parts_is_refused(tmp_path: Path) -> None:
    apart = PredictedNote("n", "asma y dolor", (Span(((0, 4), (7, 12)), "R52"),), predictions=(Prediction("", 0.5),))
    with pytest.raises(UserError, match="a mention of several parts"):
        write_csv([apart], tmp_path / "found.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.jsonl", "jsonl"), ("a.JSONL", "jsonl"), ("a.tsv", "codiesp"), ("a.CSV", "csv"), ("a", "brat")],
)
def test_the_ending_says_the_form(name: str, form: str) -> None:
    assert format_of(Path(name)) == form


@pytest.mark.parametrize("name", ["found.xlsx", "found.json", "found.txt", "found.ann", "v1.2"])
def test_an_unknown_ending_is_refused_before_anything_is_loaded(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--adapter", "a", "--notes", "n", "--out", str(tmp_path / name)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"no form has the ending {Path(name).suffix}" in line
    assert not (tmp_path / name).exists()


def test_the_command_writes_the_table(
    run_of: Callable[[str], Path], world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--adapter", str(run_of("jerl")), "--notes", str(world.site_notes("es")), "--threads", "1"]
    for name, options in (("found.csv", ["--with-text"]), ("found.jsonl", [])):
        assert main(["predict", *where, "--out", str(tmp_path / name), *options]) == 0
    expected = [
        [note.id, str(span.start), str(span.end), note.text[span.start : span.end], span.code]
        for note in jsonl.read(tmp_path / "found.jsonl")
        for span in note.spans
    ]
    assert [row[:5] for row in rows(tmp_path / "found.csv")[1:]] == expected
    assert main(["predict", *where, "--out", str(tmp_path / "more.jsonl"), "--with-text"]) == 2
    assert "--with-text: only a .csv leaves the words out" in capsys.readouterr().err
