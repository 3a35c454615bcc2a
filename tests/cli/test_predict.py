"""`clinfed predict`: every format in and out, the same spans as in evaluation, bounded memory, clear refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.corpus import kinds
from clinfed.corpus.note import Note
from clinfed.corpus.readers import brat, jsonl
from clinfed.corpus.writers import write_brat, write_jsonl
from clinfed.experiments.adapted import open_adapter
from clinfed.experiments.predict import Predictor
from clinfed.runs import record as records
from clinfed.training import predict

RunOf = Callable[[str], Path]


def predicted(capsys: pytest.CaptureFixture[str], adapter: Path, notes: Path, out: Path, *options: str) -> dict:
    arguments = ["predict", "--adapter", str(adapter), "--notes", str(notes), "--out", str(out)]
    assert main([*arguments, "--threads", "1", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], adapter: Path, notes: Path, out: Path, *options: str) -> str:
    assert main(["predict", "--adapter", str(adapter), "--notes", str(notes), "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "canary" not in error
    return error


@pytest.fixture
def few(world: Any, tmp_path: Path) -> Path:
    """Return a file of the first 20 Spanish notes, without their annotations."""
    notes = list(jsonl.read(world.site_notes("es")))[:20]
    write_jsonl([Note(note.id, note.text, (), note.language, note.patient) for note in notes], tmp_path / "few.jsonl")
    return tmp_path / "few.jsonl"


def test_scores_of_the_record_come_out_again(
    finished_run: Path, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Test notes of the run, predicted from its folder and scored by file, give the counts of its record."""
    from clinfed.corpus.splits import split_of

    notes = [note for language in ("ca", "es") for note in jsonl.read(world.site_notes(language))]
    write_jsonl([note for note in notes if split_of(note) == "test"], tmp_path / "test.jsonl")
    predicted(capsys, finished_run, tmp_path / "test.jsonl", tmp_path / "found.jsonl")
    arguments = ["--gold", str(tmp_path / "test.jsonl"), "--pred", str(tmp_path / "found.jsonl"), "--json"]
    assert main(["score", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)["micro"]
    expected = records.read(finished_run / "record.json")["test"]["centralised"]["all"]["micro"]
    assert found == expected
    assert expected["tp"] > 10  # else any prediction would agree


def test_each_span_has_code_title_and_score(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "titles.json").write_text('{"e119": "Diabetes  mellitus\\ttipo 2"}')
    titles = ("--titles", str(tmp_path / "titles.json"))
    summary = predicted(capsys, run_of("jerl"), few, tmp_path / "found.jsonl", *titles)
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    spans = [span for row in rows for span in row["spans"]]
    assert summary["notes"] == len(rows) == 20
    assert summary["mentions"] == len(spans) > 10
    assert all(0 < span["score"] <= 1 for span in spans)
    assert {span["title"] for span in spans if span["code"] == "E11.9"} == {"Diabetes mellitus tipo 2"}
    untitled = [span for span in spans if span["code"] != "E11.9"]
    assert summary["mentions_without_title"] == len(untitled) > 0
    assert not any("title" in span for span in untitled)


def test_without_a_file_codes_of_the_invented_corpus_have_its_wording_in_the_notes_language(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clinfed.corpus.titles import known

    assert known(["E11.9"])("E11.9", "ca") != known(["E11.9"])("E11.9", "es") == known(["E11.9"])("E11.9", "")
    assert known(["E11.9", "S42.90X"])("E11.9", "es") == ""  # not the invented corpus's list
    summary = predicted(capsys, run_of("jerl"), few, tmp_path / "found")
    assert summary["format"] == "brat"


def test_all_formats_hold_the_same_spans(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("found.jsonl", "found", "found.tsv"):
        predicted(capsys, run_of("jerl"), few, tmp_path / name)
    first = {note.id: note.spans for note in jsonl.read(tmp_path / "found.jsonl")}
    assert {note.id: note.spans for note in brat.read(tmp_path / "found")} == first
    table = [line.split("\t") for line in (tmp_path / "found.tsv").read_text().splitlines()]
    scored = [line.split("\t") for line in (tmp_path / "found.scored.tsv").read_text().splitlines()]
    rows = [
        [id_, "DIAGNOSTICO", span.code.lower(), f"{span.start} {span.end}"]
        for id_, spans in first.items()
        for span in spans
    ]
    assert [[*row[:3], row[4]] for row in table] == rows
    assert [row[:5] for row in scored] == table
    assert {len(row) for row in scored} == {7}
    annotations = next(path for path in sorted((tmp_path / "found").glob("*.ann")) if path.read_text())
    assert "\tAnnotatorNotes T1\tscore 0." in annotations.read_text()


@pytest.mark.parametrize("kind", ["brat", "text", "codiesp", "conll"])
def test_every_reader_feeds_it(
    kind: str, run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, source = list(jsonl.read(few)), tmp_path / "source"
    if kind == "conll":
        source.mkdir()
        (source / "notes.conll").write_text("".join(f"{word}\tO\n" for word in notes[0].text.split()))
    elif kind == "codiesp":
        write_brat(notes, source / "dev" / "text_files")
        (source / "dev" / "devX.tsv").write_text("")
    else:
        write_brat(notes, source)
        for annotations in source.glob("*.ann") if kind == "text" else ():
            annotations.unlink()
    assert kinds.kind_of(source) == kind
    summary = predicted(capsys, run_of("jerl"), source, tmp_path / "found.jsonl")
    assert summary["notes"] == (1 if kind == "conll" else 20)
    if kind != "conll":
        predicted(capsys, run_of("jerl"), few, tmp_path / "again.jsonl")
        again = {note.id: note.spans for note in jsonl.read(tmp_path / "again.jsonl")}
        assert {note.id: note.spans for note in jsonl.read(tmp_path / "found.jsonl")} == again


def test_what_is_below_the_score_is_left_out(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = predicted(capsys, run_of("jerl"), few, tmp_path / "all.jsonl")
    spans = [span for line in (tmp_path / "all.jsonl").read_text().splitlines() for span in json.loads(line)["spans"]]
    middle = sorted(span["score"] for span in spans)[len(spans) // 2] + 1e-4
    fewer = predicted(capsys, run_of("jerl"), few, tmp_path / "sure.jsonl", "--min-score", str(middle))
    assert 0 < fewer["mentions"] < everything["mentions"]


def test_notes_are_held_a_chunk_at_a_time(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinfed.experiments.predict.CHUNK_NOTES", 4)
    predictor = Predictor.load(open_adapter(run_of("jerl")))
    taken: list[int] = []

    def source() -> Any:
        for number in range(1000):
            taken.append(number)
            yield Note(f"n{number}", "Control de asma y mal descanso." * (number % 3 + 1))

    found = predictor.predict(source())
    assert [next(found).id for _ in range(6)] == [f"n{number}" for number in range(6)]
    assert len(taken) == 8  # two chunks of 4; all 1,000 would be read if they were collected first


def test_chunks_do_not_change_what_is_found(run_of: RunOf, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(open_adapter(run_of("jerl_factored")))
    notes = list(jsonl.read(few))
    whole = [note.spans for note in predictor.predict(notes)]
    monkeypatch.setattr("clinfed.experiments.predict.CHUNK_NOTES", 3)
    assert [note.spans for note in predictor.predict(notes)] == whole


def test_threads_do_not_change_what_is_found(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(predict.PREDICTION_TOKENS, "cpu", 64)  # several batches for each worker
    assert predicted(capsys, run_of("jerl"), few, tmp_path / "one.jsonl")["mentions"] > 10
    predicted(capsys, run_of("jerl"), few, tmp_path / "three.jsonl", "--threads", "3")
    assert (tmp_path / "three.jsonl").read_text() == (tmp_path / "one.jsonl").read_text()


def test_threads_are_workers_of_one_thread(run_of: RunOf) -> None:
    predictor = Predictor.load(open_adapter(run_of("jerl")), threads=2)
    assert (predictor.workers, predictor.adapted.run.training.threads) == (2, 1)


def test_a_broken_note_ends_it_or_is_counted(
    run_of: RunOf, few: Path, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.jsonl").write_text(few.read_text() + '{"id": "canarynote-x", "text": ""}\n')
    error = refused(capsys, run_of("jerl"), tmp_path / "more.jsonl", tmp_path / "found.jsonl")
    assert "more.jsonl:21: no id or no text" in error
    assert not (tmp_path / "found.jsonl").exists()
    summary = predicted(capsys, run_of("jerl"), tmp_path / "more.jsonl", tmp_path / "found.jsonl", "--skip-bad")
    assert (summary["notes"], summary["skipped"]) == (20, {"missing field": 1})


@pytest.fixture
def copied(run_of: RunOf, tmp_path: Path) -> Path:
    """Return a copy of an adapter's folder, away from its run."""
    return Path(shutil.copytree(run_of("jerl") / "adapter", tmp_path / "copied"))


def test_a_folder_away_from_its_run_needs_its_local_base_named(
    copied: Path, few: Path, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "say where it is with --base FOLDER" in refused(capsys, copied, few, tmp_path / "a.jsonl")
    summary = predicted(capsys, copied, few, tmp_path / "b.jsonl", "--base", str(world.folder / "base"))
    assert summary["mentions"] > 10


def test_another_base_is_refused(copied: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clinfed.bases import Base

    error = refused(capsys, copied, few, tmp_path / "a.jsonl", "--base", str(Base().folder()))
    assert "trained with base " in error
    assert "give the base that it was trained on" in error


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clinfed.json", "clinfed.json: cannot be read"),
        ("labels.json", "labels.json: missing, but clinfed.json lists it"),
        ("head.safetensors", "head.safetensors: missing, but clinfed.json lists it"),
        ("adapter_model.safetensors", "adapter_model.safetensors: missing, but clinfed.json lists it"),
    ],
)
def test_a_missing_file_is_named(
    name: str, expected: str, copied: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / name).unlink()
    assert expected in refused(capsys, copied, few, tmp_path / "a.jsonl")


def test_a_pickle_in_the_folder_is_refused(
    copied: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "adapter_model.bin").write_bytes(b"")
    assert "only safetensors are loaded" in refused(capsys, copied, few, tmp_path / "a.jsonl")


def test_mistakes_in_the_command_are_named(
    run_of: RunOf, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = run_of("jerl"), tmp_path / "a.jsonl"
    assert "no such folder" in refused(capsys, tmp_path / "nowhere", few, out)
    assert "no such file or folder" in refused(capsys, run, tmp_path / "nowhere", out)
    assert "exists already" in refused(capsys, run, few, few)
    assert "--threads=0: expected at least 1 and at most 1,024" in refused(capsys, run, few, out, "--threads", "0")
    assert "--device=tpu: expected cpu, cuda or cuda:N" in refused(capsys, run, few, out, "--device", "tpu")
    assert "trained without one" in refused(capsys, run, few, out, "--lexicon", str(few))
    assert "names no ICD-10 code" in refused(capsys, run, few, out, "--titles", str(_file(tmp_path / "t.csv", "a,b\n")))


def _file(path: Path, content: str) -> Path:
    path.write_text(content)
    return path
