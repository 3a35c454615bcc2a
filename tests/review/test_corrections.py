"""What a reviewer decides becomes spans, is written as notes that training reads, and is known again."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import jsonl
from clinfed.corpus.splits import split_of
from clinfed.corpus.writers import write_brat, write_jsonl
from clinfed.errors import UserError
from clinfed.evaluation.mistakes import compare
from clinfed.experiments.train import train
from clinfed.review.corrections import GOLD, NEITHER, PREDICTED, Coded, Correction, RefusedError, derived
from clinfed.review.desk import Desk
from clinfed.review.notes import Review
from clinfed.review.saved import CorrectionsFile, beside
from clinfed.runs import record as records

#            0         1         2
#            0123456789012345678901234567
TEXT = "dolor de pecho 😷 y de espalda"
CHEST, OTHER, BACK = Span(((0, 14),), "R07.4"), Span(((0, 14),), "R07.9"), Span(((0, 5), (22, 29)), "M54.9")
MASK = Span(((15, 16),), "Z29.0")
NOTES = [
    Note("n1", TEXT, (CHEST, BACK), "es", "p1", "nord", "train"),
    Note("n2", "tos", (), "ca"),
    Note("n3", "bé", (), "ca"),
]
PREDICTIONS = {"n1": (OTHER,), "n2": (Span(((0, 3),), "R05"),)}


def opened(folder: Path) -> Desk:
    """Return the desk of the three notes in a folder, as a start of the command has it."""
    source = folder / "notes.jsonl"
    if not source.exists():
        write_jsonl(NOTES, source)
    review = Review.of(NOTES, PREDICTIONS, titles=lambda code, language: f"title of {code}", details={})
    return Desk(review, CorrectionsFile(beside(source), source))


def send(desk: Desk, number: int, *decisions: object, added: object = (), reviewed: bool = True) -> None:
    body = {"revision": desk.revisions[number], "decisions": decisions, "added": added, "reviewed": reviewed}
    desk.correct(number, json.dumps(body).encode())


def test_accepted_mentions_stay_rejected_ones_go_and_others_get_their_code() -> None:
    mentions = compare(NOTES[0].spans, PREDICTIONS["n1"])  # R52 missed, wrong code R07.4 -> R07.9
    assert [mention.kind for mention in mentions] == ["missed", "wrong code"]
    kept = {
        (PREDICTED, PREDICTED): (OTHER,),  # there is no prediction of the first
        (GOLD, PREDICTED): (BACK, OTHER),
        (GOLD, GOLD): (BACK, CHEST),
        (NEITHER, NEITHER): (),
        (Coded("M54.5"), Coded("R52")): (Span(BACK.fragments, "M54.5"), Span(OTHER.fragments, "R52")),
        (None, GOLD): (CHEST,),
    }
    for decisions, spans in kept.items():
        assert Correction(decisions).spans(mentions) == spans
    assert Correction((NEITHER, NEITHER), (MASK,)).spans(mentions) == (MASK,)


SPANS = st.builds(
    lambda start, length, code: Span(((start, start + length),), code),
    st.integers(0, 3),
    st.integers(1, 2),
    st.sampled_from(["A00", "B00", "I10"]),
)


@settings(max_examples=300, deadline=None)
@given(gold=st.sets(SPANS, max_size=4), predicted=st.sets(SPANS, max_size=4), kept=st.sets(SPANS, max_size=5))
def test_decisions_derived_from_spans_give_these_spans(gold: set[Span], predicted: set[Span], kept: set[Span]) -> None:
    mentions = compare(gold, predicted)
    correction = derived(mentions, kept)
    assert correction.spans(mentions) == tuple(sorted(kept))
    assert correction.is_reviewed
    assert not correction.undecided


def test_only_reviewed_notes_are_written_and_training_reads_them_equal(tmp_path: Path) -> None:
    desk = opened(tmp_path)
    file = tmp_path / "notes.corrections.jsonl"
    send(desk, 0, None, "predicted", reviewed=False)
    assert (desk.state(0), file.exists()) == (1, False)
    send(desk, 2)  # no mention, and looked at
    assert [note.id for note in jsonl.read(file)] == ["n3"]
    send(desk, 0, "gold", {"code": "r072"}, added=[[15, 16, "z29.0"]])
    corrected = [
        Note("n1", TEXT, (BACK, Span(((0, 14),), "R07.2"), MASK), "es", "p1", "nord", "train"),
        Note("n3", "bé", (), "ca"),
    ]
    assert list(jsonl.read(file)) == corrected == list(desk.corrected())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["notes.corrections.jsonl", "notes.jsonl"]


def test_another_start_knows_the_earlier_corrections(tmp_path: Path) -> None:
    send(opened(tmp_path), 0, "neither", {"code": "R07.2"}, added=[[15, 16, "Z29.0"]])
    desk = opened(tmp_path)
    found = desk.note(0)
    assert found["decisions"] == ["neither", {"code": "R07.2", "title": "title of R07.2"}]
    assert (found["added"], found["state"], desk.index()["states"]) == ([[15, 16, "Z29.0"]], 2, [2, 0, 0])
    assert found["mentions"][-1]["predicted"]["text"] == "😷"  # offsets count characters, not UTF-16 units
    send(desk, 1, "predicted")
    assert [note.id for note in jsonl.read(tmp_path / "notes.corrections.jsonl")] == ["n1", "n2"]


def test_what_is_undone_leaves_the_file_and_an_empty_file_goes(tmp_path: Path) -> None:
    desk = opened(tmp_path)
    send(desk, 1, "predicted")
    send(desk, 1, None, reviewed=False)
    assert not (tmp_path / "notes.corrections.jsonl").exists()
    assert desk.index()["states"] == [0, 0, 0]


def test_a_file_that_another_program_has_changed_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "notes.corrections.jsonl"
    one, other = opened(tmp_path), opened(tmp_path)
    send(one, 1, "predicted")
    before = file.read_bytes()
    with pytest.raises(RefusedError, match=r"changed by another program; nothing was saved") as refusal:
        send(other, 2)
    assert refusal.value.status == 409
    assert file.read_bytes() == before
    assert other.index()["states"] == [0, 0, 0]
    file.unlink()
    with pytest.raises(RefusedError, match="changed by another program"):
        send(one, 2)


def test_nothing_is_saved_once_the_notes_have_changed(tmp_path: Path) -> None:
    desk = opened(tmp_path)
    write_jsonl(NOTES[:2], tmp_path / "notes.jsonl")
    with pytest.raises(RefusedError, match="the notes have changed") as refusal:
        send(desk, 1, "predicted")
    assert refusal.value.status == 409
    assert not (tmp_path / "notes.corrections.jsonl").exists()


def test_a_file_that_is_no_correction_of_these_notes_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "notes.corrections.jsonl"
    for content, reason in (
        ('{"id": "other", "text": "canary"}\n', "1 of 1 notes are not in"),
        ('{"id": "n2", "text": "canary"}\n', "differ in text"),
        ("canary\n", "not JSON"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=reason) as refusal:
            opened(tmp_path)
        assert "canary" not in str(refusal.value)
        assert file.read_text() == content


def test_corrections_of_a_folder_lie_beside_it_and_changes_in_it_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "notes.brat"
    write_brat(NOTES, folder)
    assert beside(folder) == tmp_path / "notes.brat.corrections.jsonl"
    for inside in (folder / "mine.jsonl", folder):
        with pytest.raises(UserError, match="lies in, the notes"):
            CorrectionsFile(inside, folder)
    file = CorrectionsFile(beside(folder), folder)
    os.utime(folder / "n2.ann", ns=(0, 0))
    with pytest.raises(RefusedError, match="the notes have changed"):
        file.write(NOTES)


def test_both_files_of_a_single_note_of_brats_are_watched(tmp_path: Path) -> None:
    write_brat(NOTES[1:2], tmp_path / "one")
    file = CorrectionsFile(tmp_path / "c.jsonl", tmp_path / "one" / "n2.ann")
    os.utime(tmp_path / "one" / "n2.txt", ns=(0, 0))
    with pytest.raises(RefusedError, match="the notes have changed"):
        file.write(NOTES)


def test_of_a_table_of_codiesp_the_texts_are_watched_too(tmp_path: Path) -> None:
    (tmp_path / "dev" / "text_files").mkdir(parents=True)
    (tmp_path / "dev" / "text_files" / "d1.txt").write_text("tos")
    (tmp_path / "dev" / "devX.tsv").write_text("d1\tDIAGNOSTICO\tr05\ttos\t0 3\n")
    table = tmp_path / "dev" / "devX.tsv"
    assert beside(table) == tmp_path / "dev.corrections.jsonl"
    file = CorrectionsFile(beside(table), table)
    os.utime(tmp_path / "dev" / "text_files" / "d1.txt", ns=(0, 0))
    with pytest.raises(RefusedError, match="the notes have changed"):
        file.write(NOTES)


def test_a_second_window_does_not_undo_the_first(tmp_path: Path) -> None:
    desk = opened(tmp_path)
    body = json.dumps({"revision": 0, "decisions": ["predicted"], "added": [], "reviewed": True}).encode()
    desk.correct(1, body)
    with pytest.raises(RefusedError, match="another window"):
        desk.correct(1, body.replace(b"predicted", b"neither"))


def test_a_run_trains_on_corrected_notes(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    source = tmp_path / "notes.jsonl"
    source.write_bytes(world.site_notes("ca").read_bytes())
    notes = list(jsonl.Jsonl(path=str(source)).notes())
    predictions = {note.id: note.spans for note in notes}
    review = Review.of(notes, predictions, titles=lambda code, language: "", details={})
    desk = Desk(review, CorrectionsFile(beside(source), source))
    for number, note in enumerate(notes):
        send(desk, number, *["predicted"] * len(note.spans))
    base = [each for each in world.overrides if not each.startswith("corpus.path")]
    path = train([*base, f"corpus.path={beside(source)}", "rounds=1"], lambda line: None)
    [trained] = records.read(path)["rounds"][0]["clinics"].values()
    assert trained["notes"] == sum(split_of(note) == "train" for note in notes)
