"""Document level: codes of notes, wherever they stand."""

from typing import Any

import numpy as np
import pytest

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.merging import evaluation
from clinfed.evaluation.report.documents import FinishedDocuments, document_rows, document_table
from clinfed.runs.documents import THRESHOLDS, best_threshold, tallies
from clinfed.tasks.document import Document

NOTES = [
    # I10 stands there twice, and is one code of the note.
    Note("a", "x" * 20, (Span(((0, 3),), "I10"), Span(((5, 8),), "I10"), Span(((9, 12),), "E11.9")), language="es"),
    Note("b", "x" * 20, (Span(((0, 3),), "Z99"),), language="ca"),
]


def test_a_code_counts_once_a_note_wherever_it_stands() -> None:
    predicted = {"a": {"I10": 0.9, "J45": 0.5, "E11.9": 0.49}, "b": {}}
    counts = Document(threshold=0.5).count({"all": NOTES}, predicted, replicates=10)["all"]
    micro = counts.micro()
    assert (micro.tp, micro.fp, micro.fn) == (1, 1, 2)  # I10; J45; E11.9 and Z99
    assert (counts.micro("ca").fn, counts.num_replicates) == (1, 10)
    assert evaluation({"north": counts})["unit"] == "codes of whole notes"


def test_the_threshold_with_the_best_f1_over_all_clinics_is_chosen() -> None:
    one = tallies([{"I10": 0.9, "J45": 0.3}], [{"I10"}])
    two = tallies([{"I10": 0.5, "J45": 0.4}], [{"I10", "J45"}])
    # From .35 to .40 all three codes are found and nothing else; at .30 the wrong one comes too.
    assert best_threshold(one + two) == (0.35, 1.0)
    assert best_threshold(two)[0] == THRESHOLDS[0]  # alone, the second clinic cannot know


def test_an_annotated_code_that_no_probability_names_is_missed_at_every_threshold() -> None:
    assert tallies([{}, {"I10": 0.5}], [{"Z99"}, {"I10"}]).tolist() == [[1, 0, 1]] * 10 + [[0, 0, 2]] * 9


def finished(**systems: int) -> FinishedDocuments:
    """Return a run whose systems, by clinic's name, have found so many of ten codes."""
    rows = {name: np.array([[found, 10 - found, 10 - found]] * 5) for name, found in systems.items()}
    counts = {name: SpanCounts({("ca", "I10"): Counts(*each[0].tolist())}, {"ca": each}) for name, each in rows.items()}
    evaluated = {name: {"one": each} for name, each in counts.items()}
    entry = {"validation": 0.5, "trainable_parameters": 0, "notes": 1, "epochs": 1, "training_s": 1.0}
    cost = {"training_peak_bytes": 0, "bytes_up": 0, "bytes_down": 0}
    entries = {name: entry | cost | {"test": evaluation(clinics)} for name, clinics in evaluated.items()}
    record: Any = {"systems": entries, "encoder_notes": 1, "encoder_s": 1.0}
    return FinishedDocuments(record, evaluated)


def test_a_clinic_that_some_seeds_deal_no_note_stands_in_the_table_with_the_others() -> None:
    runs = {0: finished(north=4, federated=8), 1: finished(south=6, federated=6)}
    table = document_table(runs)
    shown = {each["name"]: each["by_seed"] for each in table.rows["documents"]}
    assert shown == {"north": [0.4], "federated": [0.8, 0.6], "south": [0.6]}
    paired = {(each["ours"], each["theirs"]): each["f1"] for each in table.rows["document_differences"]}
    # Each over the seeds that both have; north and south have none in common.
    assert paired == {("north", "federated"): pytest.approx(-0.4), ("federated", "south"): pytest.approx(0.0)}
    assert "| north | 1 |" in table.markdown


def test_what_differs_from_seed_to_seed_is_a_mean() -> None:
    runs = {seed: finished(federated=8) for seed in (0, 1)}
    figures = {"trainable_parameters": 10, "notes": 100, "epochs": 4, "bytes_up": 4_000_000}
    runs[0].record["systems"]["federated"].update(figures)
    runs[1].record["systems"]["federated"].update({name: each // 2 for name, each in figures.items()})
    header, [shown], _ = document_rows(runs)
    cells = dict(zip(header, shown, strict=True))
    assert [cells[name] for name in ("trainable", "notes", "epochs", "MB up")] == ["8", "75", "3", "3.0"]
