"""Titles of codes: what is shown as a title is one, or the file is refused at its line."""

from pathlib import Path

import pytest

from clinfed.corpus import titles
from clinfed.errors import UserError


def titles_file(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder / name


def test_a_quotation_mark_in_a_tsv_is_a_letter_of_its_title(tmp_path: Path) -> None:
    path = titles_file(tmp_path, "t.tsv", 'code\ttitle\nJ45.9\t"Asma\nK29.7\tGastritis\tgastric\r\n')
    assert titles.load(path) == {"J45.9": '"Asma', "K29.7": "Gastritis"}


def test_a_csv_may_quote_and_its_line_separators_stay(tmp_path: Path) -> None:
    path = titles_file(tmp_path, "t.csv", 'code,title\nJ459,"Asma, no\u2028especificada"\r\nK29.7,\n')
    assert titles.load(path) == {"J45.9": "Asma, no especificada"}


def test_null_is_no_title(tmp_path: Path) -> None:
    assert titles.load(titles_file(tmp_path, "t.json", '{"J45.9": null, "K29.7": "Gastritis"}')) == {
        "K29.7": "Gastritis"
    }


def test_the_order_file_is_read_at_its_columns(tmp_path: Path) -> None:
    line = f"{'00001':6}{'J459':8}1 {'Asthma, short':60} Unspecified asthma"
    assert titles.load(titles_file(tmp_path, "order.txt", line + "\n")) == {"J45.9": "Unspecified asthma"}


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("t.csv", 'code,sub\nJ45.9,Asma\nJ45,9,J459,"canary"\n', r"t\.csv:3: 4 columns after 2"),
        ("t.csv", "J45.9,J459,canary\n", r"t\.csv:1: a number, a code or no word"),
        ("t.csv", "J45.9,nan\n", r"t\.csv:1: a number, a code or no word"),
        ("t.csv", 'J45.9,"canary\nK29.7,Gastritis"\n', r"t\.csv:2: a title with a line end in it"),
        ("t.csv", 'J45.9,"canary\nK29.7,Gastritis\n', r"t\.csv:3: quotes that do not match"),
        ("t.tsv", "J45.9\t1\tcanary\n", r"t\.tsv:1: a number, a code or no word"),
        ("t.json", '{"K29.7": "Gastritis", "J45.9": {"ca": "canary"}}', r"t\.json: entry 2: a title that is not a str"),
        ("t.json", '{"J45.9": 9}', r"t\.json: entry 1: a title that is not a string"),
        ("t.json", '{"J45.9": "None"}', r"t\.json: entry 1: a number, a code or no word"),
        ("t.json", '{"J45.9": "canary", "J45.9": "canary 2"}', r"t\.json: a code is listed twice"),
        ("t.json", '["canary"]', r"t\.json: cannot be read"),
        ("t.json", '{"J45.9": null}', r"t\.json: names no ICD-10 code with a title"),
    ],
)
def test_what_is_no_title_is_refused_at_its_line(tmp_path: Path, name: str, content: str, found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        titles.load(titles_file(tmp_path, name, content))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("t.csv", "J45.9,Asma\nK29.7,Gastritis, canary\n", r"t\.csv:2: 3 columns after 2, .* comma has no quotes"),
        ("t.csv", "J45.9,Asma\nJ459,canary\n", r"t\.csv:2: a second title of a code"),
        ("t.json", '{"J45.9": "Asma", "j459": "canary"}', r"t\.json: entry 2: a second title of a code"),
        ("t.csv", "J45.9,es,canary\nK29.7,es,Gastritis\n", r"t\.csv: all codes have the same title"),
        ("t.csv", "J45.9,NA\n", r"t\.csv:1: a number, a code or no word"),
        ("t.json", '{"J45.9": "canary \\ud800"}', r"t\.json: entry 1: a title with half a surrogate pair"),
    ],
)
def test_titles_that_would_be_cut_or_replaced_are_refused(tmp_path: Path, name: str, content: str, found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        titles.load(titles_file(tmp_path, name, content))
    assert "canary" not in str(caught.value)


def test_a_title_that_stands_twice_is_one(tmp_path: Path) -> None:
    path = titles_file(tmp_path, "t.csv", "J45.9,Asma\nJ459,Asma\nK29.7,Gastritis\n")
    assert titles.load(path) == {"J45.9": "Asma", "K29.7": "Gastritis"}
