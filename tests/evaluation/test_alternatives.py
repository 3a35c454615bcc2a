"""What the plots of a report show stands in their text alternatives, number for number."""

from typing import Any

import numpy as np

from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report import alternatives

MANIFEST = {
    "north": {"languages": {"ca": 3}, "chapters": {"I": 1, "X": 2}},
    "south": {"languages": {"ca": 1, "es": 5}, "chapters": {"X": 4}},
}


def test_each_system_stands_with_its_interval() -> None:
    steady = SpanCounts({("ca", "J00"): Counts(7, 3, 3)}, {"ca": np.outer([1, 2], [7, 3, 3])})
    assert alternatives.systems([System("federated", [steady])]).endswith(": federated .700 [.700, .700].")


def test_a_clinic_and_a_language_of_one_name_are_two_lines_of_the_rounds() -> None:
    first, second = (
        {"micro": {"f1": f1}, "by_language": {"ca": {"f1": f1 / 2}}, "by_clinic": {"ca": {"f1": f1 / 4}}}
        for f1 in (0.4, 0.8)
    )
    del second["by_clinic"]["ca"]  # left out of the second round
    rounds = [{"round": 1, "validation": first}, {"round": 2, "validation": second}, {"round": 3, "validation": None}]
    record: Any = {"rounds": rounds}
    said = "Validation F1 after the rounds 1, 2: all .400 .800; ca .200 .400; clinic ca .100 -."
    assert alternatives.rounds(record) == said
    unevaluated: Any = {"rounds": rounds[2:]}
    assert alternatives.rounds(unevaluated) == "No round was evaluated on validation notes."


def test_costs_codes_chapters_and_holdings_stand_with_their_units() -> None:
    row = {"name": "federated", "f1": 0.5, "trainable": 12_345, "bytes": 2_500_000}
    assert alternatives.costs([row]).endswith(": federated .500, 12,345 parameters, 2.5 MB.")
    # J00 and I10 are in the first bin of four mentions, E11 is past the last.
    support = {"J00": 1, "I10": 4, "E11": 60}
    assert alternatives.frequencies({"ca": support}).endswith(": ca 1-4 mentions 2 codes, 45+ mentions 1 codes.")
    assert alternatives.labels(MANIFEST) == "Mentions by ICD-10 chapter: X 6, I 1."
    held = alternatives.holdings(MANIFEST)
    assert held.endswith("north: notes ca 3; mentions X 2, I 1. south: notes es 5, ca 1; mentions X 4.")
    spent: Any = {"federated": {"seconds_split": {"train": 2.5}}}
    assert "federated start 0.0, load 0.0, train 2.5, " in alternatives.seconds(spent)
