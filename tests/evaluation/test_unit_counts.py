"""Intervals by code: replicates are what evaluating the drawn patients' notes gives; kept where anyone may see them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.errors import UserError
from clinfed.evaluation import artefacts, unit_counts
from clinfed.evaluation.bootstrap import unit_weights
from clinfed.evaluation.comparison import System
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report.system_scores import worst_clinic
from clinfed.evaluation.spans import EvaluatedNote, count_spans
from clinfed.evaluation.unit_counts import ALL, Group, GroupIntervals, UnitCounts, count_units, groups, total

CODES = ("I10", "J00", "E11", "R05", "K29")
B = 200


def evaluated_notes(patients: int, seed: int) -> list[EvaluatedNote]:
    """Return two notes of each patient, one of each language, some of whose mentions are missed or invented."""
    rng = np.random.default_rng(seed)
    frequency = np.array([20, 8, 4, 2, 1]) / 35

    def spans() -> frozenset[Span]:
        return frozenset(Span(((place, place + 1),), str(rng.choice(CODES, p=frequency))) for place in range(6))

    def note(patient: int, language: str) -> EvaluatedNote:
        gold, other = sorted(spans()), sorted(spans())
        predicted = [span if rng.random() < 0.6 else wrong for span, wrong in zip(gold, other, strict=True)]
        return EvaluatedNote(f"p{seed}-{patient}", language, frozenset(gold), frozenset(predicted[rng.integers(3) :]))

    return [note(patient, language) for patient in range(patients) for language in ("ca", "es")]


def drawn(notes: list[EvaluatedNote], replicate: int) -> list[EvaluatedNote]:
    """Return each note as often as its patient is drawn in a replicate, as another patient's each time."""
    found = []
    for note in notes:
        times = unit_weights(note.unit, replicates=B, seed=0)[replicate]
        found += [replace(note, unit=f"{note.unit}, drawn {number}") for number in range(times)]
    return found


def test_together_the_units_are_what_counting_the_spans_gives() -> None:
    notes = evaluated_notes(12, seed=1)
    assert total(count_units(notes)) == count_spans(notes, replicates=0).by_code
    assert count_units(notes).keys() == {note.unit for note in notes}


def test_a_replicate_is_the_evaluation_of_the_notes_that_it_draws() -> None:
    notes = evaluated_notes(12, seed=2)
    whole = count_spans(notes, replicates=0)
    bands = {band: codes for band, codes in whole.codes_by_band().items() if codes}
    found = groups([count_units(notes)], whole, replicates=B)
    assert found.keys() == {ALL, "ca", "es", *(f"codes {band}" for band in bands)}
    assert len(bands) >= 3
    for replicate in range(0, B, 10):
        again = count_spans(drawn(notes, replicate), replicates=0)
        assert found[ALL].replicates[replicate] == pytest.approx(again.micro().f1)
        for band, codes in bands.items():  # by their support in all notes, not in those drawn
            there = sum((counts for code, counts in again.codes().items() if code in codes), Counts())
            assert found[f"codes {band}"].replicates[replicate] == pytest.approx(there.f1)


def test_without_a_unit_the_score_is_that_of_the_other_units_notes() -> None:
    notes = evaluated_notes(12, seed=2)
    whole = count_spans(notes, replicates=0)
    bands = {band: codes for band, codes in whole.codes_by_band().items() if codes}
    found = groups([count_units(notes)], whole, replicates=B)
    assert found[ALL].macro == pytest.approx(whole.macro())
    for unit in {note.unit for note in notes}:
        others = count_spans([note for note in notes if note.unit != unit], replicates=0)
        assert found[ALL].without[unit] == pytest.approx(others.macro())
        for language in ("ca", "es"):
            assert found[language].without[unit] == pytest.approx(others.macro(language=language))
        for band, codes in bands.items():
            there = [counts.f1 for code, counts in others.codes().items() if code in codes]
            expected = sum(there) / max(1, len(there))
            assert found[f"codes {band}"].without.get(unit, found[f"codes {band}"].macro) == pytest.approx(expected)


def test_of_codes_that_one_patient_each_has_the_macro_interval_is_that_of_a_share() -> None:
    # Twelve patients with a code of their own each, found in eight: 2/3, with the standard error of a mean.
    right, place = Counts(1, 0, 0), Counts(0, 0, 1)
    units = {f"p{number}": {("ca", f"C{number}"): right if number < 8 else place} for number in range(12)}
    whole = SpanCounts({key: counts for cells in units.values() for key, counts in cells.items()})
    interval = GroupIntervals.of_mean([groups([units], whole, replicates=B)[ALL]]).macro
    error = np.std([1] * 8 + [0] * 4, ddof=1) / np.sqrt(12)
    assert interval == pytest.approx((2 / 3 - 1.96 * error, 2 / 3 + 1.96 * error), abs=1e-3)


def test_of_one_patient_there_is_no_macro_interval() -> None:
    units = {"p": {("ca", "I10"): Counts(1, 0, 0), ("ca", "J00"): Counts(0, 0, 1)}}
    found = groups([units], SpanCounts(units["p"]), replicates=B)[ALL]
    assert (found.macro, GroupIntervals.of_mean([found]).macro) == (0.5, None)


def test_macro_intervals_hold_the_expected_score_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, 61) ** 1.3
    skill = np.clip(0.85 - np.arange(60) / 120 + rng.normal(0, 0.15, 60), 0, 1)

    def patients() -> dict[str, dict[tuple[str, str], Counts]]:
        def cell(code: int) -> Counts:
            found = rng.random() < skill[code]
            return Counts(int(found), int(rng.random() < 0.2), int(not found))

        mentioned = [rng.choice(60, size=4, p=frequency / frequency.sum()) for _ in range(60)]
        return {f"p{i}": {("ca", str(code)): cell(code) for code in codes} for i, codes in enumerate(mentioned)}

    samples = [patients() for _ in range(200)]
    scores = [groups([units], SpanCounts(total(units)), replicates=2)[ALL] for units in samples]
    expected = np.mean([score.macro for score in scores])
    held = [
        low <= expected <= high for score in scores for low, high in [GroupIntervals.of_mean([score]).macro or (1, 0)]
    ]
    assert 0.92 <= np.mean(held) <= 0.99


def test_micro_f1_has_the_replicates_that_travel() -> None:
    notes = evaluated_notes(12, seed=3)
    whole = count_spans(notes, replicates=B)
    found = groups([count_units(notes)], whole, replicates=B)
    for group, language in ((ALL, None), ("ca", "ca"), ("es", "es")):
        rows = whole.summed(language)
        assert found[group].replicates == pytest.approx([Counts(*row).f1 for row in rows.tolist()])


def test_clinics_add_up_to_their_pooled_notes() -> None:
    north, south = evaluated_notes(9, seed=4), evaluated_notes(5, seed=5)
    whole = count_spans(north + south, replicates=0)
    apart = groups([count_units(north), count_units(south)], whole, replicates=B)
    for group, pooled in groups([count_units(north + south)], whole, replicates=B).items():
        assert np.array_equal(apart[group].micro, pooled.micro)
        assert apart[group].without == pytest.approx(pooled.without)


def test_equal_ids_at_two_clinics_are_one_unit_and_none_of_its_counts_is_lost() -> None:
    north = evaluated_notes(5, seed=4)
    south = [replace(note, unit=north[number].unit) for number, note in enumerate(evaluated_notes(5, seed=5))]
    whole = count_spans(north + south, replicates=B)
    found = groups([count_units(north), count_units(south)], whole, replicates=B)[ALL]
    assert found.macro == pytest.approx(whole.macro())
    assert found.replicates == pytest.approx([Counts(*row).f1 for row in whole.summed().tolist()])
    assert found.micro == pytest.approx(whole.micro().f1)
    assert found.without.keys() == {note.unit for note in north}


def test_what_clinics_keep_comes_to_the_run_and_nothing_stays_with_them(tmp_path: Path) -> None:
    tables = {name: count_units(evaluated_notes(3, seed)) for seed, name in enumerate(("north", "south"))}
    for name, table in tables.items():
        artefacts.keep(tmp_path / name, unit_counts.to_json({"adapter": table}))
    target = tmp_path / artefacts.UNITS
    assert unit_counts.read(target) == {}
    clinics = {name: tmp_path / name for name in ("south", "north", "without")}
    artefacts.collect(target, clinics)
    assert unit_counts.read(target) == {"adapter": tables}
    assert [*tmp_path.iterdir()] == [target]
    artefacts.collect(target, clinics)  # nothing new: what was taken before stays
    assert unit_counts.read(target) == {"adapter": tables}
    artefacts.keep(tmp_path / "west", unit_counts.to_json({"adapter": tables["north"]}))
    artefacts.collect(target, {"west": tmp_path / "west"})
    assert unit_counts.read(target) == {"adapter": tables | {"west": tables["north"]}}


def test_a_file_of_what_was_kept_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / artefacts.HITS).write_text('{"ca": {', "utf-8")
    with pytest.raises(UserError, match=r"hits\.json: not JSON that a run wrote"):
        artefacts.read(tmp_path / artefacts.HITS)


def system(*runs: Mapping[str, list[EvaluatedNote]], keep: bool = True) -> System:
    counts = [{name: count_spans(notes, replicates=B) for name, notes in run.items()} for run in runs]
    units: list[Mapping[str, UnitCounts]] = [{name: count_units(notes) for name, notes in run.items()} for run in runs]
    return System.of_clinics("federated", counts, units if keep else [])


def test_the_interval_of_a_mean_over_seeds_covers_the_choice_of_seeds() -> None:
    runs = [{"north": evaluated_notes(20, seed)} for seed in (7, 8, 9)]
    same, other = system(*runs[:1] * 3), system(*runs)
    (low, high), (other_low, other_high) = (each.group_intervals(ALL).macro or (0, 0) for each in (same, other))
    scores = [count_spans(run["north"], replicates=0).macro() for run in runs]
    assert np.mean([other_low, other_high]) == pytest.approx(np.mean(scores))
    assert other_high - other_low > 2 * 1.96 * np.std(scores, ddof=1) / 3**0.5
    assert low < scores[0] < high


def test_without_every_clinics_units_in_every_seed_there_is_no_interval() -> None:
    run = {"north": evaluated_notes(4, 9), "south": evaluated_notes(4, 10)}
    assert system(run).group_intervals("ca").macro is not None
    assert system(run).group_intervals("codes 100+") == GroupIntervals()  # no such code
    assert system(run, keep=False).group_intervals("ca") == GroupIntervals()
    counts = [{name: count_spans(notes, replicates=B) for name, notes in run.items()}] * 2
    both = {name: count_units(notes) for name, notes in run.items()}
    for units in ([both], [both, {"north": both["north"]}], [both, {}]):
        assert System.of_clinics("federated", counts, units).group_intervals("ca") == GroupIntervals()
    # A clinic whose answer was left out may have kept its own all the same.
    left_out = System.of_clinics("federated", [{"north": counts[0]["north"]}], [both])
    alone = System.of_clinics("alone", [{"north": counts[0]["north"]}], [{"north": both["north"]}])
    assert left_out.group_intervals("ca") == alone.group_intervals("ca") != GroupIntervals()


def test_the_worst_clinic_of_each_seed_has_an_interval_of_its_own() -> None:
    runs = [{"north": evaluated_notes(6, seed), "south": evaluated_notes(6, seed + 10)} for seed in (11, 12)]
    worst = worst_clinic(system(*runs))
    assert worst is not None
    names = [next(iter(clinics)) for clinics in worst.clinics]
    again = system(*({name: run[name]} for name, run in zip(names, runs, strict=True)))
    assert worst.group_intervals(ALL) == again.group_intervals(ALL) != GroupIntervals()


def test_counts_alone_have_no_intervals_by_code() -> None:
    assert System("document classifier", [SpanCounts({("ca", "I10"): Counts(1, 0, 0)})]).group_intervals(ALL) == (
        GroupIntervals()
    )


@pytest.mark.parametrize(("patients", "times"), [(9, 2.306), (10, 1.960)])  # t of 8 degrees of freedom; the normal's
def test_of_few_patients_the_jackknife_takes_a_quantile_of_t(patients: int, times: float) -> None:
    without = {f"p{place}": 0.5 + 0.01 * (place % 3 - 1) for place in range(patients)}
    group = Group(0.5, np.full(5, 0.5), 0.5, without)
    interval = GroupIntervals.of_mean([group]).macro
    assert interval is not None
    error = np.sqrt((patients - 1) * np.var(list(without.values())))
    assert (interval.high - interval.low) / 2 / error == pytest.approx(times, abs=1e-3)
