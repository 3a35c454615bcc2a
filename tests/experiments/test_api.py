"""The functions of `import clinfed`: what they return, what they refuse, and what they load."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clinfed
from clinfed.experiments.results import ResultTable, RunResult

NOTE = clinfed.Note("n1", "Paciente con asma y tos.", (clinfed.Span(((13, 17),), "J45.909"),), "es")


@pytest.fixture(scope="module")
def federated(world: Any, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Return the result of a small federation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINFED_HOME", str(tmp_path_factory.mktemp("home")))
        return clinfed.simulate(*world.overrides, "rounds=2", quiet=True)


def test_importing_clinfed_and_composing_a_run_load_neither_torch_nor_flower() -> None:
    code = (
        "import sys, clinfed, configs; configs.load(); clinfed.simulate, clinfed.predict, clinfed.score; "
        "print(sorted({'torch', 'flwr', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there_and_others_are_not() -> None:
    assert set(clinfed.__all__) <= set(dir(clinfed))
    assert all(getattr(clinfed, name) for name in clinfed.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        clinfed.nope  # noqa: B018


def test_a_simulation_runs_in_this_process_and_returns_scores_and_rounds(federated: RunResult) -> None:
    assert federated.record["config"]["backend"] == "local"
    assert federated.f1 == federated.record["test"]["federated"]["all"]["micro"]["f1"]
    first = federated.scores[0]
    assert (first["system"], first["gold"], first["f1"]) == ("federated", "all", federated.f1)
    assert [each["round"] for each in federated.rounds] == [1, 2]
    assert {"loss", "validation_f1", "seconds", "bytes_up"} <= set(federated.rounds.columns)


def test_the_backend_that_overrides_name_is_taken(world: Any, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[Any] = []

    def started(overrides: Any, out: Any) -> Path:
        asked.append(overrides)
        return tmp_path / "record.json"

    monkeypatch.setattr("clinfed.experiments.simulate.simulate", started)
    clinfed.simulate("rounds=1", "backend=flower")
    clinfed.simulate("rounds=1", backend="flower")
    assert asked == [["rounds=1", "backend=flower"], ["backend=flower", "rounds=1"]]


def test_training_in_one_place_prints_plain_lines(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    result = clinfed.train(*world.overrides)
    assert result.scores[0]["system"] == "centralised"
    assert f"run record: {result.folder / 'record.json'}" in capsys.readouterr().out.splitlines()


def test_texts_notes_and_files_are_predicted(federated: RunResult, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(NOTE.text, "utf-8")
    of_texts = clinfed.predict(federated, [NOTE.text, "Refereix asma."])
    of_notes = clinfed.predict(federated.folder, [NOTE])
    of_file = clinfed.predict(str(federated.folder), str(tmp_path / "note.txt"))
    assert [note.id for note in of_texts.notes] == ["text-1", "text-2"]
    assert of_texts.notes[0].spans == of_notes.notes[0].spans == of_file.notes[0].spans
    assert of_notes.notes[0].id == "n1"


def test_a_table_of_mentions_has_their_words_only_if_asked_for() -> None:
    from clinfed.corpus.note import PredictedNote, Prediction
    from clinfed.experiments.results import Predictions

    noted = PredictedNote(NOTE.id, NOTE.text, NOTE.spans, "es", predictions=(Prediction("Asma", 0.5),))
    row = {"note": "n1", "start": 13, "end": 17, "code": "J45.909", "title": "Asma", "score": 0.5}
    assert list(Predictions((noted,)).table) == [row]
    assert "asma" not in Predictions((noted,))._repr_html_()
    assert Predictions((noted,)).mentions(with_text=True)[0]["text"] == "asma"


def test_a_text_in_the_place_of_a_path_is_refused_without_quoting_it(federated: RunResult) -> None:
    with pytest.raises(clinfed.UserError) as refused:
        clinfed.predict(federated, "Paciente canarytext con asma. " * 300)
    assert "texts in a list" in str(refused.value)
    assert "canarytext" not in str(refused.value)


def test_notes_that_repeat_an_id_are_refused(federated: RunResult) -> None:
    with pytest.raises(clinfed.UserError, match="notes repeat an id"):
        clinfed.predict(federated, [NOTE, NOTE])


def test_scores_of_notes_and_of_files_are_the_same(tmp_path: Path) -> None:
    from clinfed.corpus.writers import write_jsonl

    wrong = clinfed.Note("n1", NOTE.text, (*NOTE.spans, clinfed.Span(((20, 23),), "R05")), "es")
    write_jsonl([NOTE], tmp_path / "gold.jsonl")
    write_jsonl([wrong], tmp_path / "pred.jsonl")
    scored = clinfed.score([NOTE], [wrong])
    assert scored.f1 == pytest.approx(2 / 3)  # 1 of 2 predicted, 1 of 1 found: 2*1 / (2*1 + 1 + 0)
    assert scored.scores == clinfed.score(tmp_path / "gold.jsonl", str(tmp_path / "pred.jsonl")).scores
    assert scored.table[0]["of"] == "all"
    assert "language es" in [row["of"] for row in scored.table]


def test_predictions_of_other_notes_and_of_other_texts_are_refused() -> None:
    with pytest.raises(clinfed.UserError, match="predictions for the notes of gold"):
        clinfed.score([NOTE], [clinfed.Note("n2", NOTE.text)])
    with pytest.raises(clinfed.UserError, match="differ in text"):
        clinfed.score([NOTE], [clinfed.Note("n1", "Otro texto.")])


def test_a_comparison_has_a_row_for_each_system(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    found = clinfed.compare(*world.overrides, "compare.rows=centralised", quiet=True)
    assert [row["system"] for row in found.table] == ["centralised"]
    assert found.table[0]["seeds"] == 1


def test_a_comparison_whose_run_fails_is_an_error(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    monkeypatch.setattr("clinfed.experiments.compare.run_row", lambda *_: "failed (1): no output")
    with pytest.raises(clinfed.UserError, match=r"^centralised: failed; see run\.log"):
        clinfed.compare(*world.overrides, "compare.rows=centralised", quiet=True)


TABLE = ResultTable(({"system": "<b>", "f1": 0.25}, {"system": "other", "f1": None}))


def test_a_table_becomes_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = TABLE.to_pandas()
    assert list(frame.columns) == ["system", "f1"]
    assert frame["f1"][0] == 0.25
    assert pandas.isna(frame["f1"][1])


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        TABLE.to_pandas()


def test_a_table_shows_itself_as_text_and_as_html() -> None:
    assert str(TABLE) == "system  f1\n<b>     0.250\nother   -"
    assert "<td>&lt;b&gt;</td><td>0.250</td>" in TABLE._repr_html_()
