"""`clinfed publish`: a folder that others load with nothing of ours, that says what it is and holds no local path."""

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clinfed.cli import main
from clinfed.experiments.adapted import open_adapter
from clinfed.runs import record as records
from clinfed.runs.publication import NO_PRIVACY, audit, privacy, training
from clinfed.tasks.tagging.base import Tagging

TEXT = "Control de asma y mal descanso. Paciente canarytext con diabetes desde hace años."
# Runs a script where none of our packages can be imported, and saves the numbers that its functions compute.
ALONE = """
import runpy, sys
for package in ("clinfed", "clinfed_tiny", "client", "server", "strategies", "partitions", "configs"):
    sys.modules[package] = None
out, script, *sys.argv[1:] = sys.argv[1:]
made = runpy.run_path(script, run_name="__main__")
base, folder, text = sys.argv[1:]
encoder, head, tokenizer, codes, settings = made["load"](base, folder)
words, hidden = made["word_vectors"](text, encoder, tokenizer)
from safetensors.torch import save_file
save_file({"logits": made["logits_of"](hidden, head).contiguous()}, out)
"""


@pytest.fixture
def published(finished_run: Path, tmp_path: Path) -> Path:
    assert main(["publish", str(finished_run), "-o", str(tmp_path / "public")]) == 0
    return tmp_path / "public"


def test_rounds_of_parts_of_an_epoch_are_told(finished_run: Path) -> None:
    record = records.read(finished_run / "record.json")
    record["config"].pop("rounds_per_epoch")  # as in a record of an older version
    assert audit(record)["settings"]["rounds_per_epoch"] == 1
    record["config"]["rounds"], record["config"]["training"]["local_epochs"] = 8, 2
    assert "- 16 epochs, in one place\n" in training(record)
    record["config"]["rounds_per_epoch"], record["config"]["training"]["local_epochs"] = 4, 1
    assert audit(record)["settings"]["rounds_per_epoch"] == 4
    assert audit(record)["settings"]["rounds"] == 8
    assert "- 2 epochs, in one place\n" in training(record)


def test_what_was_trained_on_part_of_the_notes_says_so(finished_run: Path) -> None:
    record = records.read(finished_run / "record.json")
    record["config"]["only"] = {"language": "", "clinic": "north", "share": 0.5}
    assert "in one place; of these only: clinic north, share 0.5\n" in training(record)
    assert audit(record)["settings"]["only"]["clinic"] == "north"
    record["test"]["federated"] = record["test"].pop("centralised")
    record["config"]["rounds_per_epoch"] = 4
    assert "- 1 rounds, 4 to one epoch, strategy fedavg; the adapter is that of" in training(record)


def run_alone(script: Path, tmp_path: Path, *arguments: str) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a script that ran without clinfed, and what it printed."""
    (tmp_path / "alone.py").write_text(ALONE)
    command = [
        sys.executable,
        "-I",
        str(tmp_path / "alone.py"),
        str(tmp_path / "out.safetensors"),
        str(script),
        *arguments,
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return load_file(tmp_path / "out.safetensors"), done.stdout


def our_logits(run: Path) -> list[torch.Tensor]:
    """Return what our own model and head give for the text: tags, or mentions and codes."""
    from clinfed.bases import load_tokenizer
    from clinfed.tasks.tagging.bio import words_of
    from clinfed.tasks.tagging.windows import subwords_of, windows_of

    adapted = open_adapter(run)
    tokenizer, tagger = load_tokenizer(adapted.run.base), adapted.tagger().eval()
    pieces = subwords_of(tokenizer, TEXT, words_of(TEXT))
    ids = {"cls_id": tokenizer.cls_token_id, "sep_id": tokenizer.sep_token_id}
    [window] = windows_of(pieces, **ids, size=256, stride=64)
    row = torch.tensor([window.input_ids])
    evaluated = torch.zeros_like(row, dtype=torch.bool)
    evaluated[0, window.positions] = True
    torch.set_num_threads(1)
    with torch.inference_mode():
        hidden = tagger.hidden(row, torch.ones_like(row), evaluated)
        layers = ["tag"] if "tag" in tagger.head else ["mention", "code"]
        return [tagger.head[name](hidden) for name in layers]


def code_in_card(folder: Path, tmp_path: Path) -> Path:
    """Return a file with the one block of code that the card shows."""
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    (tmp_path / "card.py").write_text(code)
    return tmp_path / "card.py"


def test_the_code_in_the_card_finds_what_we_find_without_us_and_its_logits_differ_by_0(
    published: Path, finished_run: Path, world: Any, tmp_path: Path
) -> None:
    script = code_in_card(published, tmp_path)
    found, out = run_alone(script, tmp_path, str(world.folder / "base"), str(published), TEXT)
    assert torch.equal(found["logits"], torch.cat(our_logits(finished_run), dim=1))
    from clinfed.corpus.note import Note
    from clinfed.experiments.predict import Predictor

    [note] = Predictor.load(open_adapter(finished_run)).predict([Note("n", TEXT)])
    assert out.splitlines() == [f"{span.start} {span.end} {span.code}" for span in note.spans]
    assert len(note.spans) == 2


def test_the_code_in_the_card_reads_decomposed_letters(
    run_of: Callable[[str], Path], world: Any, tmp_path: Path
) -> None:
    apart = unicodedata.normalize("NFD", TEXT)
    assert len(apart) > len(TEXT)
    adapter = run_of("jerl") / "adapter"
    base = str(world.folder / "base")
    found, out = run_alone(code_in_card(adapter, tmp_path), tmp_path, base, str(adapter), apart)
    plain, same = run_alone(code_in_card(adapter, tmp_path), tmp_path, base, str(adapter), TEXT)
    assert torch.equal(found["logits"], plain["logits"])
    assert [line.split()[2] for line in out.splitlines()] == [line.split()[2] for line in same.splitlines()]


def test_the_folder_carries_the_cards_code_as_a_file(published: Path, tmp_path: Path) -> None:
    assert (published / "load.py").read_text() == code_in_card(published, tmp_path).read_text()


def test_no_local_path_and_no_word_of_a_note_is_in_any_file(
    published: Path, finished_run: Path, world: Any, tmp_path: Path
) -> None:
    places = {str(tmp_path), str(world.folder), str(finished_run), sys.executable, str(Path.home()), str(Path.cwd())}
    record = (finished_run / "record.json").read_text()
    assert str(world.folder) in record  # else nothing could have leaked
    for path in published.iterdir():
        content = path.read_bytes()
        for secret in (*places, *world.canaries, "/tmp/"):
            assert secret.encode() not in content, f"{path.name} holds {secret}"


def test_the_card_tells_data_in_counts_and_scores_with_gold_and_interval(published: Path, finished_run: Path) -> None:
    record = records.read(finished_run / "record.json")
    card = (published / "README.md").read_text()
    scores = record["test"]["centralised"]["all"]
    low, high = scores["by_language"]["ca"]["interval"]
    figure = f"{scores['by_language']['ca']['f1']:.3f}".lstrip("0")
    row = next(line for line in card.splitlines() if line.startswith("| centralised adapter | all | ca |"))
    assert f"| {figure} [{low:.3f}, {high:.3f}]".replace("0.", ".") in row
    assert "| centralised adapter | representable | es |" in card
    assert "- 160 notes in 2 clinics" in card
    assert "by language: ca 80, es 80" in card
    assert "Seeds: run 0, bootstrap 0" in card
    assert NO_PRIVACY in card
    assert f"Fingerprint of the base's files: {record['fingerprints']['base']}" in card
    assert "language: [ca, es]" in card


def test_the_audit_file_says_who_took_part_and_hashes_the_files(published: Path, finished_run: Path) -> None:
    record = records.read(finished_run / "record.json")
    found = json.loads((published / "audit.json").read_text())
    assert found["clinics"] == {
        "pooled": {"rounds": [1], "training_notes": record["rounds"][0]["clinics"]["pooled"]["notes"]}
    }
    assert found["rounds"] == [{"round": 1, "clinics": ["pooled"], "refused": []}]
    assert found["fingerprints"] == record["fingerprints"]
    assert found["adapter_sha256"] == record["adapter_sha256"]
    assert found["privacy"] == "none"
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in published.iterdir()}
    del hashes["audit.json"]
    assert found["files"] == hashes
    assert len(hashes) == 7


def test_refused_updates_and_privacy_settings_of_a_record_are_told(finished_run: Path) -> None:
    record: Any = records.read(finished_run / "record.json")
    record["rounds"][0]["refused"] = [{"clinic": "south", "reason": "not finite"}]
    record["config"]["privacy"] = {"epsilon": 3.0, "delta": 1e-5}
    assert audit(record)["rounds"][0]["refused"] == [{"clinic": "south", "reason": "not finite"}]
    assert (audit(record)["refused_at_start"], audit(record)["refused_at_test"]) == ([], [])
    late = {
        "refused": [{"clinic": "west", "reason": "other code"}],
        "test_refused": [{"clinic": "east", "reason": "late"}],
    }
    at_both_ends = audit(record | late)
    assert [at_both_ends["refused_at_start"], at_both_ends["refused_at_test"]] == [*late.values()]
    assert audit(record)["privacy"] == {"epsilon": 3.0, "delta": 1e-5}
    assert privacy(record) == "- epsilon: 3.0\n- delta: 1e-05"


def test_a_published_folder_predicts_as_its_run(published: Path, world: Any) -> None:
    adapted = open_adapter(published, base_path=str(world.folder / "base"))
    assert adapted.record is None
    assert adapted.state.sha256() == json.loads((published / "audit.json").read_text())["adapter_sha256"]


def test_what_is_no_run_or_there_already_is_refused(
    published: Path, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(published), "-o", str(tmp_path / "again"), "--base", str(world.folder / "base")]) == 2
    assert "no record.json beside its adapter" in capsys.readouterr().err
    assert main(["publish", str(published), "-o", str(published)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_adapter_that_finds_no_mentions_is_refused(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tagging, "has_spans", False)  # as of a run with task=mlm or task=document
    assert main(["publish", str(finished_run), "-o", str(tmp_path / "public")]) == 2
    assert "expected an adapter that finds mentions" in capsys.readouterr().err
    assert not (tmp_path / "public").exists()
