"""What offsets count: the surfaces tell, text and offsets change together, and other units are refused by name."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus import counting, kinds, predictions
from clinfed.corpus.counting import Mention
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import brat, codiesp, conll, jsonl
from clinfed.errors import UserError

PLAIN = "Tos seca.\nDM2 i HTA.\nNega febre."  # "HTA" at 16 to 19; "febre" at 26 to 31
PAIRED = PLAIN.replace("\n", "\r\n")
MARKED = "\ufeff"


def brat_note(folder: Path, raw: str, *mentions: tuple[int, int, str]) -> Path:
    lines = [
        f"T{number}\tDIAG {start} {end}\t{surface}\nN{number}\tReference T{number} ICD10:R05\n"
        for number, (start, end, surface) in enumerate(mentions, 1)
    ]
    (folder / "n.txt").write_bytes(raw.encode())
    (folder / "n.ann").write_bytes("".join(lines).encode())
    return folder


@pytest.mark.parametrize(
    ("raw", "hta", "febre", "counted"),
    [
        (PAIRED, 17, 28, {counting.PAIRS: 1}),  # CR LF as two: one line end before HTA, two before febre
        (PAIRED, 16, 26, {counting.PAIRS: 1}),  # as one
        (MARKED + PLAIN, 17, 27, {counting.MARK: 1}),  # the mark counts
        (MARKED + PLAIN, 16, 26, {counting.MARK: 1}),
        (MARKED + PAIRED, 18, 29, {counting.MARK: 1, counting.PAIRS: 1}),
        (MARKED + PAIRED, 17, 27, {counting.MARK: 1, counting.PAIRS: 1}),  # the mark counts, CR LF is one
        (MARKED + PAIRED, 16, 26, {counting.MARK: 1, counting.PAIRS: 1}),
        (PLAIN.replace("\n", "\r"), 16, 26, {counting.RETURNS: 1}),  # one character either way
    ],
)
def test_the_surfaces_tell_what_brat_offsets_count(
    tmp_path: Path, raw: str, hta: int, febre: int, counted: dict[str, int]
) -> None:
    brat_note(tmp_path, raw, (hta, hta + 3, "HTA"), (febre, febre + 5, "febre"))
    skipped: Counter[str] = Counter()
    (note,) = brat.read(tmp_path, skipped=skipped)
    assert note == Note("n", PLAIN, (Span(((16, 19),), "R05"), Span(((26, 31),), "R05")))
    assert skipped == counted


def test_a_mention_over_a_converted_line_end_ends_where_it_should(tmp_path: Path) -> None:
    # "seca.", CR, LF, "DM2" is 4 to 14; BRAT writes the LF as a space. As one, 4 to 14 would hold a blank more.
    brat_note(tmp_path, PAIRED, (4, 14, "seca.\r DM2"))
    (note,) = brat.read(tmp_path)
    assert [PLAIN[span.start : span.end] for span in note.spans] == ["seca.\nDM2"]


@pytest.mark.parametrize(
    "mentions",
    [
        [(17, 20, "HTA"), (26, 31, "febre")],  # each under another count
        [(17, 20, "HTO")],  # under none
    ],
)
def test_surfaces_that_contradict_each_other_are_refused(tmp_path: Path, mentions: list[tuple[int, int, str]]) -> None:
    brat_note(tmp_path, PAIRED, *mentions)
    with pytest.raises(BadInputError, match=r"n\.txt:1: the text has carriage returns .* the surfaces leave it open"):
        list(brat.read(tmp_path))
    skipped: Counter[str] = Counter()
    assert list(brat.read(tmp_path, skip_bad=True, skipped=skipped)) == []
    assert skipped == {"carriage return": 1}


def test_surfaces_that_fit_both_counts_are_refused(tmp_path: Path) -> None:
    brat_note(tmp_path, "tos\r\naaaa", (5, 6, "a"))  # the first a where CR LF is two, the second where it is one
    with pytest.raises(BadInputError, match="the surfaces leave it open"):
        list(brat.read(tmp_path))


def test_windows_files_without_mentions_are_read(tmp_path: Path) -> None:
    brat_note(tmp_path, MARKED + PAIRED)
    (tmp_path / "n.ann").write_bytes(b"\xef\xbb\xbf#1\tAnnotatorNotes T1\tHTA\r\n")
    skipped: Counter[str] = Counter()
    assert list(brat.read(tmp_path, skipped=skipped)) == [Note("n", PLAIN)]
    assert skipped == {counting.MARK: 2, counting.PAIRS: 2, "annotator note without code": 1}  # text and .ann
    skipped.clear()
    assert list(kinds.read(tmp_path / "n.txt", "text", skip_bad=False, skipped=skipped)) == [Note("n", PLAIN)]
    assert skipped == {counting.MARK: 1, counting.PAIRS: 1}


def test_windows_exports_are_read_and_counted(tmp_path: Path) -> None:
    line = json.dumps({"id": "n", "text": "tos"}).encode()
    (tmp_path / "n.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line.replace(b'"n"', b'"m"') + b"\r\n")
    (tmp_path / "n.conll").write_bytes(b"\xef\xbb\xbftos\tB-R05\r\n\r\nseca\tO\r\n")
    skipped: Counter[str] = Counter()
    assert [note.id for note in jsonl.read(tmp_path / "n.jsonl", skipped=skipped)] == ["n", "m"]
    assert skipped == {counting.MARK: 1, counting.PAIRS: 1}  # by file: nothing in it counts line ends
    assert [note.text for note in conll.read(tmp_path / "n.conll", skipped=skipped)] == ["tos", "seca"]
    assert skipped == {counting.MARK: 2, counting.PAIRS: 2}


def jsonl_note(folder: Path, text: str, *spans: dict[str, Any]) -> Path:
    record = {"id": "n", "text": text, "spans": [{"code": "R05"} | span for span in spans]}
    (folder / "n.jsonl").write_text(json.dumps(record), encoding="utf-8")
    return folder / "n.jsonl"


@pytest.mark.parametrize("name", ["text", "surface", "covered_text", "coveredText"])
@pytest.mark.parametrize(("hta", "febre"), [(17, 28), (16, 26)])
def test_the_surfaces_tell_what_jsonl_offsets_count(tmp_path: Path, name: str, hta: int, febre: int) -> None:
    # A span without surface goes with the others.
    path = jsonl_note(
        tmp_path, PAIRED, {"start": hta, "end": hta + 3, name: "HTA"}, {"fragments": [[febre, febre + 5]]}
    )
    skipped: Counter[str] = Counter()
    (note,) = jsonl.read(path, skipped=skipped)
    assert note == Note("n", PLAIN, (Span(((16, 19),), "R05"), Span(((26, 31),), "R05")))
    assert skipped == {counting.PAIRS: 1}


def test_jsonl_texts_without_spans_are_converted_and_without_surfaces_refused(tmp_path: Path) -> None:
    assert [note.text for note in jsonl.read(jsonl_note(tmp_path, MARKED + PAIRED))] == [PLAIN]
    path = jsonl_note(tmp_path, PAIRED, {"start": 17, "end": 20, "text": None})
    with pytest.raises(BadInputError, match=r"carriage returns .* no surface tells"):
        list(jsonl.read(path))


def test_a_span_with_both_kinds_of_offsets_stays_a_fault_where_the_text_is_converted(tmp_path: Path) -> None:
    both = {"start": 17, "end": 20, "fragments": [[17, 20]], "text": "HTA"}
    hta = {"start": 17, "end": 20, "text": "HTA"}
    with pytest.raises(BadInputError, match="both ways to give them"):
        list(jsonl.read(jsonl_note(tmp_path, PAIRED, hta, both)))


EMOJI = "😷 DM2 i 😷 HTA."  # DM2 at 2 to 5, HTA at 10 to 13


@pytest.mark.parametrize(
    ("text", "start", "unit"),
    [
        (EMOJI, 12, "UTF-16 code units"),  # two for each of two emojis
        (EMOJI, 16, "UTF-8 bytes"),  # four for each
        ("Tos\nHTA i HTO.", 5, r"characters with line ends as two \(CR LF\)"),
        ("Tos HTA", 5, "characters from 1, or after a byte order mark"),
        (EMOJI.replace(" i ", "\r\n"), 10, "UTF-16 code units with line ends as one"),
    ],
)
def test_offsets_in_another_unit_are_refused_with_its_name(tmp_path: Path, text: str, start: int, unit: str) -> None:
    brat_note(tmp_path, text, (start, start + 3, "HTA"))
    kind = "carriage return" if "\r" in text else counting.DIFFERS
    for read, path in ((brat.read, tmp_path), (jsonl.read, jsonl_note(tmp_path, text, span(start)))):
        with pytest.raises(BadInputError, match=f"they fit if offsets count {unit}; expected") as caught:
            list(read(path))
        assert "HTA" not in str(caught.value)
        assert caught.value.kind in (kind, "span past the end")


def span(start: int) -> dict[str, Any]:
    return {"start": start, "end": start + 3, "text": "HTA"}


def test_surfaces_of_jsonl_are_no_unknown_fields_and_blanks_do_not_count(tmp_path: Path) -> None:
    text = "Tos\nseca i HTA."
    mention = {"fragments": [[0, 8], [11, 14]], "text": "Tos  seca HTA"}
    skipped: Counter[str] = Counter()
    (note,) = jsonl.read(jsonl_note(tmp_path, text, mention), skipped=skipped)
    assert note.spans == (Span(((0, 8), (11, 14)), "R05"),)
    assert not skipped


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"text": "canary"}, "the surface of span 1 is not what stands at its offsets"),
        ({"surface": ["Tos"]}, "surface of a span is not a string"),
        ({"text": "Tos", "covered_text": "canary"}, "two surfaces of a span differ"),
    ],
)
def test_a_surface_that_is_not_the_text_is_refused(tmp_path: Path, given: dict[str, Any], found: str) -> None:
    path = jsonl_note(tmp_path, "Tos seca.", {"start": 0, "end": 3} | given)
    with pytest.raises(BadInputError, match=found) as caught:
        list(jsonl.read(path))
    assert "canary" not in str(caught.value)


def codiesp_part(root: Path, texts: dict[str, str], rows: list[str]) -> Path:
    (root / "text_files").mkdir(exist_ok=True)
    for id_, text in texts.items():
        (root / "text_files" / f"{id_}.txt").write_bytes(text.encode())
    (root / "trainX.tsv").write_bytes("".join(f"{row}\n" for row in rows).encode())
    return root


def row(id_: str, start: int, surface: str = "HTA") -> str:
    return f"{id_}\tDIAGNOSTICO\ti10\t{surface}\t{start} {start + len(surface)}"


def test_a_table_of_other_units_is_refused_with_their_name(tmp_path: Path) -> None:
    texts = {f"d{number}": EMOJI for number in range(6)} | {"good": "HTA."}
    rows = [row(id_, 12) for id_ in texts if id_ != "good"] + [row("good", 0)]  # HTA stands at 10
    codiesp_part(tmp_path, texts, rows)
    with pytest.raises(BadInputError, match=r"as in 6 of 7 rows of the table; .* offsets count UTF-16 code units"):
        list(codiesp.read(tmp_path))
    skipped: Counter[str] = Counter()
    assert [note.id for note in codiesp.read(tmp_path, skip_bad=True, skipped=skipped)] == ["good"]
    assert skipped == {counting.DIFFERS: 6}


def test_five_surfaces_or_one_in_a_hundred_may_differ(tmp_path: Path) -> None:
    few = codiesp_part(
        tmp_path, {f"d{number}": "HTA i HTA." for number in range(5)}, [row(f"d{n}", 1) for n in range(5)]
    )
    skipped: Counter[str] = Counter()
    assert len(list(codiesp.read(few, skipped=skipped))) == 5
    assert skipped == {"surface differs from the text (kept)": 5}
    documents = [("HTA.", [Mention(((0, 3),), "HTA")])] * 594 + [("HTA.", [Mention(((0, 3),), "tos")])] * 6
    assert counting.verdict(documents) == ""  # 6 of 600 are not more than 1%
    assert counting.verdict(documents[1:]) == ", as in 6 of 599 rows of the table"  # no unit would help


def test_codiesp_texts_with_cr_lf_are_converted_with_their_table(tmp_path: Path) -> None:
    rows = [row("two", 17), row("two", 0, "Tos"), row("one", 16), row("two", 4, "sec4")]
    codiesp_part(tmp_path, {"one": PAIRED, "two": MARKED + PAIRED}, rows)
    (tmp_path / "trainX.tsv").write_bytes(b"\xef\xbb\xbf" + "".join(f"{each}\r\n" for each in rows).encode())
    skipped: Counter[str] = Counter()
    notes = {note.id: note for note in codiesp.read(tmp_path, skipped=skipped)}
    assert {note.text for note in notes.values()} == {PLAIN}
    assert notes["one"].spans == (Span(((16, 19),), "I10"),)
    assert notes["two"].spans == (Span(((16, 19),), "I10"), Span(((0, 3),), "I10"), Span(((4, 8),), "I10"))
    assert skipped == {counting.PAIRS: 3, counting.MARK: 2, "surface differs from the text (kept)": 1}


def test_a_predicted_table_is_held_against_the_texts(tmp_path: Path) -> None:
    table = tmp_path / "found.tsv"
    table.write_text("".join(f"{row(f'd{number}', 12)}\n" for number in range(6)), encoding="utf-8")
    with pytest.raises(UserError, match=r"found\.tsv: .* as in 6 of 6 rows of the table; .* UTF-16 code units"):
        predictions.check_table(table, [Note(f"d{number}", EMOJI) for number in range(6)], Counter())
    skipped: Counter[str] = Counter()
    predictions.check_table(table, [Note("d0", EMOJI), Note("other", "tos")], skipped)  # one row may be a slip
    assert skipped == {"surface differs from the text (kept)": 1}
