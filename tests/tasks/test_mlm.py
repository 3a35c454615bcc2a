"""Masked language modelling: sums of losses, worked by hand; a base that is adapted to notes, end to end."""

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from clinfed.adapters.none import NoAdapter
from clinfed.bases import Base, load_tokenizer
from clinfed.corpus.note import Note
from clinfed.corpus.synthetic import generate
from clinfed.errors import UserError
from clinfed.evaluation import merging
from clinfed.evaluation.report.tables import round_line, table_on_test
from clinfed.evaluation.small_cells import Rule
from clinfed.experiments.train import train
from clinfed.runs import record as records
from clinfed.tasks.mlm import LossSums, Mlm
from clinfed.training.model import build

TEXT = "Paciente con asma desde hace años, refiere tos seca y fiebre."


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(Base())


def encode(*texts: str, tokenizer: Any) -> list[Any]:
    notes = [Note(f"n{number}", text) for number, text in enumerate(texts)]
    return Mlm().encode(notes, tokenizer, (), window=16, stride=4).rows


def test_sums_of_clinics_give_the_perplexity_of_all_their_words() -> None:
    north, south = LossSums({"es": (3_000_000, 1)}), LossSums({"es": (1_000_000, 3), "ca": (0, 4)})
    whole = north + south
    assert whole.losses == {"es": (4_000_000, 4), "ca": (0, 4)}
    assert whole.measures() == {"perplexity": math.exp(0.5), "nats": 0.5, "tokens": 8}  # a mean of means is not that
    assert LossSums.shown(whole.score) == "1.65"
    assert LossSums({"es": (1_000_000, 1)}).score > LossSums({"es": (2_000_000, 1)}).score  # less loss is better


def test_a_loss_that_no_model_has_is_refused() -> None:
    LossSums({"es": (99_000_000, 1)}).check(replicates=1000, shared=())
    for losses in ({"es": (101_000_000, 1)}, {"es": (1, 0)}, {"canarytext": (1, 1)}):
        with pytest.raises(ValueError, match="counts"):
            LossSums(losses).check(replicates=0, shared=None)
    wire = LossSums({"es": (5, 1)}).to_arrays()
    for change in ({"counts": -wire["counts"]}, {"counts": wire["counts"][:, :1]}, {"languages": ["es", "ca"]}):
        with pytest.raises(ValueError, match=r"negative|expected"):
            LossSums.from_arrays({**wire, **change})


def test_the_same_words_are_told_each_time_and_most_of_them_are_hidden(tokenizer: Any) -> None:
    texts = [note.text for note in islice(generate(), 30)]
    first, again = (encode(*texts, tokenizer=tokenizer) for _ in range(2))
    assert first == again
    told = [(row["input_ids"][at], row["altered"][at], row["mask_id"]) for row in first for at in row["told"]]
    words = sum(len(row["input_ids"]) - 2 for row in first)
    assert len(told) / words == pytest.approx(0.3, abs=0.06)
    assert sum(altered == mask for _, altered, mask in told) / len(told) == pytest.approx(0.8, abs=0.1)
    assert sum(altered == word for word, altered, _ in told) / len(told) == pytest.approx(0.1, abs=0.08)
    assert all(row["altered"][0] == row["input_ids"][0] for row in first)
    assert len(encode("asma", tokenizer=tokenizer)[0]["told"]) == 1  # of a note of one word too


def test_windows_together_hold_every_sub_word_once(tokenizer: Any) -> None:
    rows = encode(TEXT * 3, tokenizer=tokenizer)
    inside = [piece for row in rows for piece in row["input_ids"][1:-1]]
    assert inside == tokenizer(TEXT * 3, add_special_tokens=False)["input_ids"]


def test_losses_come_back_to_the_note_whose_words_they_are_of(tokenizer: Any) -> None:
    rows = encode("asma", TEXT * 3, tokenizer=tokenizer)
    batch = Mlm().collate(rows, [1, 0, 2], pad_id=0)
    # A head that is certain of nothing: log of the vocabulary's size at each word.
    vocabulary = len(tokenizer)
    head = lambda hidden: torch.zeros(len(hidden), vocabulary)  # noqa: E731
    model: Any = SimpleNamespace(head=head, hidden=lambda ids, mask, told: torch.zeros(int(told.sum()), 1))
    sums = Mlm().decode([{}, {}], rows, [([1, 0, 2], Mlm().outputs(model, batch))], ())
    tokens = len(rows[1]["told"]) + len(rows[2]["told"])
    assert sums[0] == (pytest.approx(math.log(vocabulary), rel=1e-6), 1)
    assert sums[1] == (pytest.approx(tokens * math.log(vocabulary), rel=1e-6), tokens)


def test_a_language_of_too_few_patients_is_not_named_at_a_site() -> None:
    notes = [Note(f"n{number}", "", language="es" if number else "de", patient=f"p{number}") for number in range(6)]
    losses = {note.id: (1.0, 2) for note in notes}
    count = Mlm().count({"all": notes}, losses, rule=Rule(frozenset(), 3))["all"]
    assert count.losses == {"": (6_000_000, 12)}  # the one in German could be told from the six
    assert Mlm().count({"all": notes}, losses)["all"].losses == {"de": (1_000_000, 2), "es": (5_000_000, 10)}


def test_the_embedded_base_tells_words_much_better_than_by_chance(tokenizer: Any) -> None:
    from clinfed.adapters.lora import Lora
    from clinfed.training.predict import predict_rows
    from clinfed.training.settings import Training

    model = build(Base(), Lora(r=1), Mlm(), 3, seed=0)
    assert not [name for name, each in model.head.named_parameters() if each.requires_grad]
    rows = encode("El paciente refiere dolor abdominal y fiebre desde hace tres dias.", tokenizer=tokenizer)
    [(loss, tokens)] = predict_rows(model, Mlm(), [{"id": "n0"}], rows, (), Training(), pad_id=0)
    assert loss / tokens < 0.8 * math.log(len(tokenizer))


def test_a_run_that_would_train_nothing_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"^task=mlm: with this adapter nothing is trained; choose adapter=lora"):
        build(Base(), NoAdapter(), Mlm(), 3, seed=0)


def small(world: Any) -> list[str]:
    """Return a run on the world's short notes, whose few phrases the embedded base has never seen."""
    kept = [each for each in world.overrides if not each.startswith("base")]
    return [*kept, "task=mlm", "training.learning_rate=0.005"]


def test_a_federation_adapts_the_base_to_its_notes(world: Any, run_locally: Callable[..., Any], tmp_path: Path) -> None:
    record, _ = run_locally([*small(world), "stop.patience=2", "chosen=best"])
    evaluated, first, last = record["test"]["federated"]["all"], *(each["validation"] for each in record["rounds"])
    assert last["measures"]["perplexity"] < first["measures"]["perplexity"]
    assert evaluated["by_clinic"].keys() == {"ca", "es"}
    assert (record["chosen_round"], record["chosen_by"]) == (2, "best validation perplexity")
    assert "perplexity" in round_line(record["rounds"][-1])
    table = table_on_test(record)
    assert "Counted: hidden sub-words. Not comparable with strict spans." in table
    assert "perplexity ca" in table
    told = records.summary(record, tmp_path)
    assert told["perplexity"] == evaluated["measures"]["perplexity"]
    counts = records.counts_of_kind(record["folder"] / records.COUNTS, LossSums)
    assert merging.evaluation(counts["federated", "all"]) == evaluated
    assert not np.isnan(record["rounds"][0]["loss"])


def test_the_plain_loop_trains_it_in_one_place(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    printed: list[str] = []
    train([*small(world), "rounds=1"], printed.append)
    assert "centralised adapter" in printed[-1]
    assert "perplexity" in printed[-1]
