"""`clinfed review`: predictions of any form beside gold; a real server; notes stay here; mistakes are one line."""

import json
import shutil
import signal
import socket
import stat
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.cli import review as command
from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import doccano, jsonl, labelstudio
from clinfed.corpus.writers import write_brat, write_jsonl


@pytest.fixture(autouse=True)
def unserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a mistake that is not refused fail at once, where it would be served for ever."""
    monkeypatch.setattr(command, "serve", lambda app, bound: pytest.fail("this was served"))


def read(reviewed: Path) -> list[Note]:
    """Return the four notes, with gold."""
    return list(jsonl.read(reviewed / "notes.jsonl"))


def loaded(out: Path, notes: Path, *options: str) -> Any:
    """Return what would be served."""
    parser = command.argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.loaded(parser.parse_args([str(out), "--notes", str(notes), *options])).review


@pytest.mark.parametrize("name", ["found.jsonl", "found", "found.tsv"])
def test_every_form_of_predictions_gives_the_same_page(name: str, reviewed: Path) -> None:
    review = loaded(reviewed / name, reviewed / "notes.jsonl")
    kinds = [[review.kinds[each["kind"]] for each in review.note(number)["mentions"]] for number in range(4)]
    assert kinds == [["exact", "wrong boundary", "spurious"], ["exact", "wrong code"], ["missed"], []]
    predicted = review.note(0)["mentions"][0]["predicted"]
    assert (predicted["title"], predicted["score"]) == ("T", 0.5)


def test_a_table_beside_a_corpus_is_not_taken_for_the_corpus(tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    (dev / "text_files").mkdir(parents=True)
    (dev / "text_files" / "d1.txt").write_text("tos")
    (dev / "devX.tsv").write_text("d1\tDIAGNOSTICO\tr05\ttos\t0 3\n")
    (dev / "mine.tsv").write_text("d1\tDIAGNOSTICO\tr06\ttos\t0 3\n")
    [[mention]] = loaded(dev / "mine.tsv", dev).mentions
    assert mention.kind == "wrong code"


def test_titles_of_a_file_go_before_those_of_the_predictions(reviewed: Path, tmp_path: Path) -> None:
    (tmp_path / "titles.json").write_text('{"J45": "Asma"}')
    review = loaded(reviewed / "found.jsonl", reviewed / "notes.jsonl", "--titles", str(tmp_path / "titles.json"))
    assert [each["gold"]["title"] for each in review.note(0)["mentions"][:1]] == ["Asma"]


def test_gold_that_was_not_asked_for_is_not_looked_at(reviewed: Path, tmp_path: Path) -> None:
    write_brat(read(reviewed), tmp_path / "gold")
    assert loaded(reviewed / "found", tmp_path / "gold").kinds[0] == "exact"
    assert loaded(reviewed / "found", tmp_path / "gold", "--format", "text").kinds == ("predicted",)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["review", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "canary" not in error
    return error


def test_mistakes_are_named_in_one_line(reviewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, notes = reviewed / "found.jsonl", reviewed / "notes.jsonl"
    assert "nowhere: no such file" in refused(capsys, tmp_path / "nowhere", "--notes", notes)
    assert "nowhere.tsv: no such file" in refused(capsys, tmp_path / "nowhere.tsv", "--notes", notes)
    assert "nowhere: no such file" in refused(capsys, found, "--notes", tmp_path / "nowhere")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("tos")
    assert "texts: no predictions" in refused(capsys, tmp_path / "texts", "--notes", notes)
    assert "--port=70000: expected at least 0 and at most 65,535" in refused(
        capsys, found, "--notes", notes, "--port", "70000"
    )


def test_predictions_of_other_notes_are_counted(
    reviewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(read(reviewed)[:1], tmp_path / "one.jsonl")
    assert "3 of 4 predicted notes are not among the 1 of" in refused(
        capsys, reviewed / "found.jsonl", "--notes", tmp_path / "one.jsonl"
    )
    # A table has rows of notes 1 and 2 alone.
    assert "1 of 2 predicted notes" in refused(capsys, reviewed / "found.tsv", "--notes", tmp_path / "one.jsonl")


def test_other_texts_under_the_same_ids_are_refused(
    reviewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl([Note(note.id, note.text[:10], (), note.language) for note in read(reviewed)], tmp_path / "short.jsonl")
    arguments = ("--notes", tmp_path / "short.jsonl")
    assert "3 note(s) differ in text" in refused(capsys, reviewed / "found.jsonl", *arguments)
    assert "found.tsv:2: span [7, 18) ends past the note (10 characters)" in refused(
        capsys, reviewed / "found.tsv", *arguments
    )


def test_notes_that_the_predictions_lack_are_said(
    reviewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(read(reviewed)[:1], tmp_path / "first.jsonl")
    loaded(tmp_path / "first.jsonl", reviewed / "notes.jsonl")
    assert "lacks 3 of 4 notes" in capsys.readouterr().err
    loaded(reviewed / "found.tsv", reviewed / "notes.jsonl")  # a table has no rows of notes without mentions
    assert capsys.readouterr().err == ""


def test_a_port_in_use_is_refused(reviewed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        error = refused(capsys, reviewed / "found.jsonl", "--notes", reviewed / "notes.jsonl", "--port", port)
    assert f"--port {port}: Address already in use" in error


def test_the_token_is_no_argument_of_the_browsers_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    done = command.threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: (opened.append(url), done.set()))
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    command.open_browser("http://127.0.0.1:1/?token=canarytoken", folder)
    assert done.wait(10)
    assert opened[0].startswith("file://")
    assert "canarytoken" not in opened[0]
    assert "canarytoken" in (folder / "review.html").read_text()
    assert stat.S_IMODE((folder / "review.html").stat().st_mode) == 0o600


def test_ctrl_c_ends_it_well_and_nothing_was_logged(serving: Callable[..., Any]) -> None:
    import httpx

    process = serving()
    with httpx.Client(trust_env=False) as client:
        assert client.get(process.url).status_code == 200
        inside = process.url.partition("?")[0]
        assert "canarytext" in client.get(f"{inside}notes/2.json").text
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == ""
    assert "canary" not in out


def test_it_listens_on_loopback_alone(serving: Callable[..., Any]) -> None:
    port = int(serving().url.split(":")[2].split("/")[0])
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    bound = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]  # 0A is LISTEN
    assert bound == [f"0100007F:{port:04X}"]  # 127.0.0.1, the lowest byte first


def test_notes_are_exported_for_annotation_tools_as_corrected_or_as_predicted(
    reviewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bare.jsonl", "found.jsonl"):
        shutil.copy(reviewed / name, tmp_path)
    corrected = replace(read(reviewed)[1], spans=(Span(((0, 5),), "R52"),))
    write_jsonl([corrected], tmp_path / "bare.corrections.jsonl")
    (tmp_path / "found.jsonl").write_text((tmp_path / "found.jsonl").read_text().replace(', "score": 0.5', "", 1))
    write = ["review", str(tmp_path / "found.jsonl"), "--notes", str(tmp_path / "bare.jsonl"), "--export"]
    out = tmp_path / "out.labelstudio.json"
    # Note 2's prediction of two parts is not written: that note is corrected.
    assert main([*write, str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 4 notes, 1 of them as corrected, the rest as predicted\n"
    assert list(labelstudio.read(out)) == [corrected]
    assert [note.id[-1] for note in labelstudio.read(out, predicted=True)] == ["1", "3", "4"]
    results = json.loads(out.read_text())[0]["predictions"][0]["result"]
    assert [result.get("score") for result in results] == [None, 0.5, 0.5]
    out = tmp_path / "out.doccano.jsonl"
    assert main([*write, str(out)]) == 0
    found = {note.id[-1]: [span.code for span in note.spans] for note in doccano.read(out)}
    assert found == {"1": ["J45", "I10", "R69"], "2": ["R52"], "3": [], "4": []}
    capsys.readouterr()
    assert "exists already" in refused(capsys, *write[1:], out)
    assert "expected *.doccano.jsonl or *.labelstudio.json" in refused(capsys, *write[1:], tmp_path / "out.jsonl")
