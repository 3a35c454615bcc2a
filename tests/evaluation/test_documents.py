"""Document level: codes of notes, wherever they stand."""

import numpy as np

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.documents import THRESHOLDS, best_threshold, count_documents, tallies, targets

NOTES = [
    # I10 stands there twice, and is one code of the note.
    Note("a", "x" * 20, (Span(((0, 3),), "I10"), Span(((5, 8),), "I10"), Span(((9, 12),), "E11.9")), language="es"),
    Note("b", "x" * 20, (Span(((0, 3),), "Z99"),), language="ca"),
]


def test_a_code_counts_once_a_note_wherever_it_stands() -> None:
    counts = count_documents(NOTES, [{"I10", "J45"}, set()], replicates=10)
    micro = counts.micro()
    assert (micro.tp, micro.fp, micro.fn) == (1, 1, 2)  # I10; J45; E11.9 and Z99
    assert (counts.micro("ca").fn, counts.num_replicates) == (1, 10)


def test_a_code_outside_the_list_is_no_target_and_yet_missed() -> None:
    assert targets(NOTES, ["E11.9", "I10"]).tolist() == [[1, 1], [0, 0]]
    assert count_documents(NOTES, [{"I10", "E11.9"}, set()]).micro().fn == 1


def test_the_threshold_with_the_best_f1_over_all_clinics_is_chosen() -> None:
    one = tallies(np.array([[0.9, 0.3]], np.float32), np.array([[1, 0]], np.float32))
    two = tallies(np.array([[0.5, 0.4]], np.float32), np.array([[1, 1]], np.float32))
    # From .35 to .40 all three codes are found and nothing else; at .30 the wrong one comes too.
    assert best_threshold(one + two) == (0.35, 1.0)
    assert best_threshold(two)[0] == THRESHOLDS[0]  # alone, the second clinic cannot know
