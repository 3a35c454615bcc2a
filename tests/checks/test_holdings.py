"""Base and notes of a site: counted, compared, and never quoted."""

import json
from pathlib import Path
from typing import Any

import pytest

from clinfed.bases import Base, fingerprint
from clinfed.checks import holdings
from clinfed.checks.finding import Finding
from clinfed.corpus.readers.jsonl import Jsonl

TEXT = "Pacient canarytext amb asma i asma al·lèrgica."
START = TEXT.index("asma")
ASMA = {"start": START, "end": START + 4, "code": "J45.909"}
WIDER = {"start": START - 4, "end": START + 4, "code": "J18.9"}
INSIDE = {"start": START + 7, "end": START + 10, "code": "J45.909"}  # "asm" of the second asma
CODES = ["J18.9", "J45.909"]


def found(
    folder: Path, rows: list[dict[str, Any]], codes: list[str] = CODES, threshold: int = 0, **options: Any
) -> dict[str, Finding]:
    """Return what is found in these notes, by check."""
    path = folder / "canaryfile.jsonl"
    plain = {"text": TEXT, "language": "ca", "split": "train", "spans": [ASMA]}
    notes = [{"id": f"canarynote{number}", **plain, **row} for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(note) + "\n" for note in notes), "utf-8")
    findings = holdings.notes(Jsonl(path=str(path), **options), codes, threshold)
    for each in findings:
        assert "canarytext" not in each.found + each.remedy
        assert "canarynote" not in each.found + each.remedy
    return {each.check: each for each in findings}


ALL_SPLITS = [{"patient": f"p{number}"} for number in range(40)] + [{"split": "validation"}, {"split": "test"}]


def test_right_notes_are_counted_by_split_and_language(tmp_path: Path) -> None:
    rows = found(tmp_path, ALL_SPLITS)
    assert {each.level for each in rows.values()} == {"ok"}
    assert rows["notes"].found.startswith("42 in ")
    assert "1 test" in rows["notes"].found
    assert rows["languages"].found == "42 ca"
    assert rows["codes"].found == "all 42 mentions have codes of the shared list"


def test_notes_without_a_patient_weaken_the_small_cell_rule(tmp_path: Path) -> None:
    assert found(tmp_path, ALL_SPLITS)["patients"].found == "40; 2 of 42 notes name none"
    row = found(tmp_path, ALL_SPLITS, threshold=10)["patients"]
    assert row.level == "warn"
    assert "small_cell_threshold" in row.remedy


def test_a_site_without_training_notes_fails(tmp_path: Path) -> None:
    rows = found(tmp_path, [{"split": "test"}])
    assert rows["notes"].level == "fail"


def test_a_site_without_a_mention_to_learn_from_fails_and_names_the_ignored_field(tmp_path: Path) -> None:
    row = {"spans": None, "entities": [{"canarytext": 1}]}
    rows = found(tmp_path, [{**row, "patient": f"p{number}"} for number in range(3)])
    ignored = "3 unknown field entities (ignored; did you mean spans?)"
    assert rows["mentions"].found == f"no mention to learn from: this site (3 training notes: {ignored})"
    assert rows["mentions"].level == "fail"
    assert rows["faults"].level == "warn"  # the field has another name here


@pytest.mark.parametrize("span", [ASMA | {"code": "Z99.0"}, INSIDE])
def test_a_site_whose_mentions_cannot_be_trained_fails(tmp_path: Path, span: dict[str, Any]) -> None:
    row = found(tmp_path, [{"spans": [span]}, {"spans": []}])["mentions"]
    assert row.level == "fail"
    assert "1 mentions, none that tags and the shared codes can hold" in row.found


def test_mentions_in_the_test_split_alone_teach_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, [{"spans": []}, {"split": "test"}])["mentions"].level == "fail"


def test_codes_outside_the_shared_list_are_counted_and_not_named(tmp_path: Path) -> None:
    unknown = [{"spans": [ASMA | {"code": code}]} for code in ("Z99.0", "Z99.1", "Z99.0")]
    row = found(tmp_path, [*ALL_SPLITS, *unknown])["codes"]
    assert row.level == "warn"
    assert row.found == "3 of 45 mentions have codes outside the shared list (2 different ones)"
    assert "Z99" not in row.found + row.remedy


def test_mentions_that_tags_cannot_hold_are_counted_by_reason(tmp_path: Path) -> None:
    rows = found(tmp_path, [*ALL_SPLITS, {"spans": [ASMA, WIDER]}, {"spans": [INSIDE]}])
    # 42 + 2 + 1 mentions; of the two that overlap the longer stays, and "asm" ends inside a word.
    assert rows["spans"].found == "tags cannot hold 2 of 45 mentions (4.4%): 1 limits inside a word, 1 overlapping"
    assert rows["spans"].level == "ok"


def test_many_of_them_are_a_warning(tmp_path: Path) -> None:
    assert found(tmp_path, [{"spans": [ASMA, WIDER]}])["spans"].level == "warn"


def test_notes_in_another_language_are_a_warning(tmp_path: Path) -> None:
    english = {"text": "The patient was seen in the clinic today because of asthma.", "language": "", "spans": []}
    row = found(tmp_path, [*ALL_SPLITS, english])["languages"]
    assert (row.level, row.found) == ("warn", "42 ca, 1 en: 1 neither Catalan nor Spanish")


# The mistakes that users make in files of notes, and the words that lead them to the fix.
FAULTS = {
    "missing column": ({"text": None}, "no id or no text; expected both fields"),
    "bad offset": (
        {"spans": [ASMA | {"end": 999}]},
        f"ends past the note ({len(TEXT)} characters); expected an end of",
    ),
    "unknown code": (
        {"spans": [ASMA | {"code": "asma"}]},
        "a code that has not the form of ICD-10; expected one like",
    ),
    "wrong language": ({"language": "Catalan"}, "language is not two small letters; expected ISO 639-1"),
}


@pytest.mark.parametrize("mistake", FAULTS)
def test_a_faulty_note_is_named_by_file_and_line_with_what_was_expected(mistake: str, tmp_path: Path) -> None:
    change, words = FAULTS[mistake]
    row = found(tmp_path, [*ALL_SPLITS, change])["faults"]
    assert row.level == "fail"
    assert f"first fault: {tmp_path}/canaryfile.jsonl:43: " in row.found
    assert words in row.found
    assert "skip_bad = true" in row.remedy


def test_faults_are_a_warning_where_the_site_leaves_such_notes_out(tmp_path: Path) -> None:
    rows = found(tmp_path, [*ALL_SPLITS, FAULTS["bad offset"][0], FAULTS["unknown code"][0]], skip_bad=True)
    assert rows["faults"].level == "warn"
    assert "1 broken code, 1 span past the end" in rows["faults"].found
    assert rows["notes"].found.startswith("42 in ")


def test_a_base_is_compared_with_the_fingerprint_that_the_coordinator_gave() -> None:
    right = fingerprint(Base())
    [unknown], [same], [other] = (holdings.base(Base(), given) for given in ("", right[:16], "0" * 64))
    assert [unknown.level, same.level, other.level] == ["ok", "ok", "fail"]
    assert right in unknown.found
    assert "expected 0000000000000000" in other.found
