"""What a writer wrote, its reader gives back, whatever the text; what is broken is refused, and never shown."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.corpus import writers
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import brat, codiesp, conll, doccano, jsonl, labelstudio
from clinfed.errors import UserError

Read = Callable[..., Iterator[Note]]

HARD = (
    "a",
    "é",
    "e\u0301",
    "l·l",
    "😷",
    "👩🏽‍⚕️",
    "\n",
    "\t",
    " ",
    "\u2028",
    "\x0b",
    "\x85",
    "\u00a0",
    "İ",
    "\x00",
    '"',
    "%",
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(HARD), min_size=1, max_size=40).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff"), min_size=1, max_size=60),
).filter(str.strip)
CODES = st.sampled_from(["E11.9", "R52", "S42.90X", "W19.XXX", "C7A.1"])


@st.composite
def spans_in(draw: st.DrawFn, text: str) -> Span:
    count = draw(st.integers(1, max(1, min(3, (len(text) + 1) // 2))))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2 * count, max_size=2 * count)))
    return Span(tuple(zip(cuts[::2], cuts[1::2], strict=True)), draw(CODES))


@st.composite
def annotated_notes(draw: st.DrawFn) -> list[Note]:
    names = st.one_of(st.sampled_from([".", "..", "a/b", "%41"]), TEXTS.filter(short))
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    notes = []
    for id_ in ids:
        text = draw(TEXTS)
        spans = draw(st.lists(spans_in(text), max_size=5, unique=True))
        language, split = draw(st.sampled_from(["", "ca", "es"])), draw(st.sampled_from(["", "train", "test"]))
        patient, clinic = draw(st.sampled_from(["", f"patient of {id_}"])), draw(st.sampled_from(["", "clínica"]))
        notes.append(Note(id_, text, tuple(spans), language, patient, clinic, split))
    return notes


def short(id_: str) -> bool:
    return len(id_) <= 20  # 20 characters of four bytes, three signs each, are 240; file names hold 255


def by_id(notes: Iterator[Note]) -> list[Note]:
    return sorted(notes, key=lambda note: note.id)


@settings(max_examples=150, deadline=None)
@given(notes=annotated_notes())
def test_jsonl_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, notes: list[Note]) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "notes.jsonl"
    writers.write_jsonl(notes, path)
    skipped: Counter[str] = Counter()
    assert list(jsonl.read(path, skipped=skipped, keep_fragments=True)) == notes
    assert not skipped


@settings(max_examples=150, deadline=None)
@given(notes=annotated_notes())
def test_brat_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, notes: list[Note]) -> None:
    folder = tmp_path_factory.mktemp("brat") / "notes"
    writers.write_brat(notes, folder)
    skipped: Counter[str] = Counter()
    assert by_id(brat.read(folder, skipped=skipped, keep_fragments=True)) == by_id(iter(notes))
    assert not skipped


def test_one_format_becomes_the_other(codiesp_path: Path, tmp_path: Path) -> None:
    notes = [note for note in codiesp.read(codiesp_path) if note.split == "test"]
    writers.write_brat(notes, tmp_path / "brat")
    writers.write_jsonl(brat.read(tmp_path / "brat"), tmp_path / "notes.jsonl")  # none has fragments to be joined
    assert by_id(jsonl.read(tmp_path / "notes.jsonl")) == by_id(iter(notes))


CANARY = "zarapito"
TEXT = f"Pacient {CANARY} amb tos, té 😷 {CANARY} i diabetis.\nNega febre {CANARY}."
BRAT_LINES = (
    f"T1\tDIAG 8 16\t{CANARY}\nN1\tReference T1 ICD10:R05\t{CANARY}\nT2\tDIAG 8 16;21 24\t{CANARY} tos\n"
    f"A1\tCode T2 R05.1\nT3\tDIAG 21 24\ttos\n#1\tAnnotatorNotes T3\tR05 {CANARY}\nA2\t{CANARY} T3\n"
)
CODIESP_ROWS = (
    f"a\tDIAGNOSTICO\tr05\t{CANARY}\t8 16\na\tPROCEDIMIENTO\tbw03zzz\ttos\t21 24\n"
    f"a\tDIAGNOSTICO\tr05.1\t{CANARY} tos\t8 16;21 24\n"
)
SPANS = [{"start": 8, "end": 16, "code": "R05"}, {"fragments": [[8, 16], [21, 24]], "code": "r05.1"}]
JSON_LINE = json.dumps(
    {"id": "a", "text": TEXT, "patient": CANARY, "clinic": CANARY, "spans": SPANS}, ensure_ascii=False
)
CONLL_LINES = f"Pacient\tO\n{CANARY}\tB-R05\ntos\tI-R05\n\n{CANARY}\tB-{CANARY}\n"

DOCCANO_LINE = json.dumps({"id": 1, "text": TEXT, "label": [[8, 16, "R05"], [21, 24, "R05.1"]]}, ensure_ascii=False)
RESULTS = [
    {"type": "labels", "value": {"start": start, "end": end, "labels": ["R05"], "text": TEXT[start:end]}}
    for start, end in ((8, 16), (21, 24))
]
TASKS = json.dumps([{"id": 1, "data": {"text": TEXT}, "annotations": [{"result": RESULTS}]}], ensure_ascii=False)

# (reader, file to mutate, all files)
FORMATS: dict[str, tuple[Read, str, dict[str, str]]] = {
    "brat annotations": (brat.read, "a.ann", {"a.txt": TEXT, "a.ann": BRAT_LINES}),
    "brat text": (brat.read, "a.txt", {"a.txt": TEXT, "a.ann": BRAT_LINES}),
    "brat metadata": (
        brat.read,
        "metadata.jsonl",
        {"a.txt": TEXT, "a.ann": BRAT_LINES, "metadata.jsonl": f'{{"id": "a", "patient": "{CANARY}"}}\n'},
    ),
    "codiesp table": (codiesp.read, "trainX.tsv", {"text_files/a.txt": TEXT, "trainX.tsv": CODIESP_ROWS}),
    "codiesp text": (codiesp.read, "text_files/a.txt", {"text_files/a.txt": TEXT, "trainX.tsv": CODIESP_ROWS}),
    "jsonl": (jsonl.read, "a.jsonl", {"a.jsonl": f"{JSON_LINE}\n{JSON_LINE.replace('a', 'b', 1)}\n"}),
    "doccano": (doccano.read, "a.jsonl", {"a.jsonl": f"{DOCCANO_LINE}\n{DOCCANO_LINE.replace('1', '2', 1)}\n"}),
    "labelstudio": (labelstudio.read, "a.json", {"a.json": TASKS}),
    "conll": (conll.read, "a.conll", {"a.conll": CONLL_LINES}),
}
NASTY = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"\r", b"\r\n", b"\n", b"\t", b" ", b"\xef\xbb\xbf", b"9", b"-1", b"1e3", b"null", b"{}", b"["]),
    st.sampled_from([CANARY.encode(), b'"', b"\\ud800", b"T1", b"R05", b";", b":", "٣".encode(), b"9" * 5000, b"\x00"]),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), NASTY), min_size=1, max_size=4)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Return the bytes, each edit replacing some bytes at a share of the length by others."""
    for place, removed, inserted in edits:
        start = int(place * len(data))
        data = data[:start] + inserted + data[start + removed :]
    return data


def fault_of(notes: Iterator[Note]) -> UserError | None:
    try:
        list(notes)
    except UserError as fault:
        return fault
    return None


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_broken_files_are_refused_or_counted_and_never_shown(
    tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[float, int, bytes]]
) -> None:
    read, broken, files = FORMATS[name]
    folder = tmp_path_factory.mktemp("broken")
    for file, content in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(edited(content.encode(), edits) if file == broken else content.encode())
    fault = fault_of(read(folder))  # any other exception fails the test
    skipped: Counter[str] = Counter()
    notes = list(read(folder, skip_bad=True, skipped=skipped))
    for note in notes:
        assert note.text.strip()
        assert "\r" not in note.text
        assert all(0 <= start < end <= len(note.text) for span in note.spans for start, end in span.fragments)
    assert CANARY not in "".join(skipped)
    if fault:
        assert skipped
        assert "\n" not in str(fault)
        assert not [word for word in (CANARY, "Pacient", "tos", "diabetis") if word in str(fault)]


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_before_they_were_broken_are_good(tmp_path: Path, name: str) -> None:
    read, _, files = FORMATS[name]
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content.encode())
    assert fault_of(read(tmp_path)) is None
    assert sum(len(note.spans) for note in read(tmp_path)) >= 2
