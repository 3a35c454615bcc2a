"""What a clinic's work lets out: its counts and its manifest under the small-cell rule, its rows of the head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed import protocol
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Clinic, read_site
from clinfed.clinic.site import Site
from clinfed.clinic.work import against_both, evaluate, train_round
from clinfed.corpus.note import Note, Span
from clinfed.corpus.splits import split_of
from clinfed.evaluation.bootstrap import SEED, unit_weights
from clinfed.evaluation.counts import Counts
from clinfed.home import clinic_secret
from clinfed.tasks.tagging.factored import JerlFactored

TEXT = "aaa bbb ccc"
RARE, SOME, MANY = "A00", "B00", "C00"
SPLIT = Span(((0, 3), (8, 11)), RARE)  # which tags cannot hold


def held() -> list[Note]:
    """Return notes of six patients in Spanish, the last with the rare code, and of one in German."""
    some, many = Span(((0, 3),), SOME), Span(((4, 7),), MANY)
    notes = [Note(f"n{i}", TEXT, (some, many) if i < 3 else (many,), "es", f"p{i}") for i in range(5)]
    notes.append(Note("n5", TEXT, (SPLIT,), "es", "p5"))
    return [*notes, Note("n6", TEXT, (Span(((0, 3),), RARE),), "de", "4711")]


def at_site(threshold: int, *, language: str = "") -> Clinic:
    notes = [note for note in held() if language in ("", note.language)]
    return Clinic("north", notes, (RARE, SOME, MANY), 1.0, small_cell_threshold=threshold, bootstrap_key="secret")


def counted(clinic: Clinic) -> protocol.Evaluated:
    nothing: dict[str, tuple[Span, ...]] = {note.id: () for note in clinic.notes}
    return against_both(
        JerlFactored(), clinic, "federated", clinic.notes, nothing, test_evaluation=True, replicates=True
    )


def test_without_a_threshold_a_site_names_all_codes_of_the_shared_list() -> None:
    counts = counted(at_site(0))["federated", protocol.ALL_GOLD]
    assert counts.by_code.keys() == {("de", RARE), ("es", RARE), ("es", SOME), ("es", MANY)}
    assert at_site(0).manifest()["chapters"] == {"I": 5, "II": 5}
    assert at_site(0).manifest()["languages"] == {"de": 1, "es": 6}


def test_what_has_to_be_left_out_against_one_gold_is_left_out_against_the_other() -> None:
    tables = counted(at_site(3, language="es"))
    # Three patients have SOME, but with its name all minus representable gold would be the one with RARE.
    for gold in (protocol.ALL_GOLD, protocol.REPRESENTABLE_GOLD):
        assert tables["federated", gold].by_code.keys() == {("es", MANY), ("es", "other")}, gold
    assert tables["federated", protocol.ALL_GOLD].micro() == Counts(fn=9)


def test_a_language_of_too_few_patients_is_not_named() -> None:
    for counts in counted(at_site(3)).values():
        assert "de" not in counts.languages
        assert "de" not in counts.replicates
    assert at_site(3).manifest()["languages"] == {"other": 7}, "the one in German could be told from the six"


def test_replicates_of_too_few_patients_repeat_their_totals() -> None:
    def drawn(threshold: int) -> set[tuple[int, ...]]:
        evaluated = counted(at_site(threshold, language="es"))["federated", protocol.ALL_GOLD]  # of six patients
        [rows] = evaluated.replicates.values()
        assert rows.shape == (protocol.REPLICATES, 3)
        return {tuple(row) for row in rows.tolist()}

    assert drawn(7) == {(0, 0, 9)}
    assert len(drawn(6)) > 5


def test_replicates_cannot_be_solved_for_a_patient_without_the_sites_secret() -> None:
    def of_the_patient(clinic: str) -> Any:
        return unit_weights("4711", replicates=protocol.REPLICATES, seed=SEED, clinic=clinic)

    sent = counted(at_site(0))["federated", protocol.ALL_GOLD].replicates["de"][:, 2]
    assert np.array_equal(sent, of_the_patient("secret")), "as it would be known to whoever has the secret"
    assert not np.array_equal(sent, of_the_patient("north"))
    assert not np.array_equal(sent, of_the_patient(""))


def test_a_site_takes_threshold_and_secret_from_its_own_machine(
    world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    site = Site(notes=str(world.site_notes("ca")), labels=str(world.labels), small_cell_threshold=7)
    clinic = read_site(WorkerCache(world.site_overrides).run, site)
    assert clinic.small_cell_threshold == 7
    assert clinic.bootstrap_key == clinic_secret()


def test_a_sites_secret_is_drawn_once_and_stays_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = []
    for home in (tmp_path / "north", tmp_path / "south"):
        monkeypatch.setenv("CLINFED_HOME", str(home))
        drawn.append(clinic_secret())
        assert clinic_secret() == drawn[-1]
        assert [path.name for path in (home / "clinic" / "secret").iterdir()] == ["bootstrap.key"]
        assert (home / "clinic" / "secret").stat().st_mode & 0o077 == 0
    assert drawn[0] != drawn[1]
    assert min(map(len, drawn)) == 32


def test_a_real_site_keeps_no_patients_outcomes_even_of_notes_that_anyone_may_see(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    cache = WorkerCache(["corpus.patients=22", "adapter.r=4"])
    simulated = cache.simulation(2).clinic(0, 1.0)
    site = replace(simulated, pooled_train=None, bootstrap_key="secret", _splits={})
    state = read_state(cache.tagger(len(site.codes)))
    for clinic, files in (
        (site, 0),
        (simulated, 5),
    ):  # hits; counts by patient on test and validation; outcomes; training support
        for split in ("validation", "test"):
            evaluated = evaluate(cache, clinic, state, split, test_evaluation=split == "test", replicates=True)
        assert (protocol.ENSEMBLE, protocol.ALL_GOLD) in evaluated.counts
        assert len([*(tmp_path / "clinic").glob("artefacts/*")]) == files
    assert (tmp_path / "clinic" / "artefacts").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("strategy", ["fedavg", "fedrows"])
def test_with_fedrows_a_clinic_sends_rows_of_codes_that_it_does_not_hold_back_as_they_came(
    strategy: str, world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    cache = WorkerCache([*world.overrides, f"strategy={strategy}"])
    whole = cache.simulation(2).clinic(0, 1.0)
    own = [note for note in whole.notes if {span.code for span in note.spans} == {"E11.9"}]
    clinic = replace(whole, notes=own, _splits={})
    tagger = cache.tagger(len(clinic.codes))
    before = read_state(tagger)
    _, payload = train_round(cache, clinic, Payload(before), 1)
    after = payload.adapter
    row = clinic.codes.index("E11.9")
    changed = {
        code
        for name in ("head.code.weight", "head.code.bias")
        for code in range(len(clinic.codes))
        if not np.array_equal(after[name][code], before[name][code])
    }
    others = set(range(len(clinic.codes))) - {row}
    assert changed == ({row} if strategy == "fedrows" else {row, *others})
    # What no clinic has trained is masked, also where the round has taught all rows of other codes what they are not.
    assert cache.untrained(after, len(clinic.codes)) == (others if strategy == "fedrows" else set())


def test_the_ensemble_of_a_clinic_without_validation_patients_is_its_adapter(
    world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    cache = WorkerCache(world.overrides)
    whole = cache.simulation(2).clinic(0, 1.0)
    clinic = replace(whole, notes=[note for note in whole.notes if split_of(note) != "validation"], _splits={})
    state = read_state(cache.tagger(len(clinic.codes)))
    counts = evaluate(cache, clinic, state, "test", test_evaluation=True, replicates=False).counts
    mine = (counts[system, protocol.ALL_GOLD] for system in (protocol.ENSEMBLE, protocol.FEDERATED))
    joined, adapter = (each.micro() for each in mine)
    assert joined == adapter
    assert adapter != counts[protocol.CLINIC_LEXICONS, protocol.ALL_GOLD].micro()
