from collections import Counter

import pytest

from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from partitions.base import UNKNOWN, deal, describe, manifest
from partitions.clinic import Clinic
from partitions.dirichlet import Dirichlet
from partitions.iid import Iid
from partitions.language import Language
from partitions.pooled import Pooled
from partitions.quantity import Quantity


def visits(patient: str, languages: str = "ca", *, clinic: str = "", code: str = "I10") -> list[Note]:
    """Return one note a language, all of one patient."""
    span = Span(((0, 2),), code)
    return [
        Note(f"{patient}-{visit}", "xx", (span,), language, patient, clinic)
        for visit, language in enumerate(languages.split())
    ]


def patients_of(dealt: dict[str, list[Note]]) -> dict[str, list[str]]:
    return {clinic: sorted({note.patient for note in notes}) for clinic, notes in dealt.items()}


def many(prefix: str, count: int, languages: str) -> list[Note]:
    return [note for number in range(count) for note in visits(f"{prefix}{number:03d}", languages)]


def test_a_patient_goes_with_all_notes_to_the_majority_language() -> None:
    notes = visits("anna", "ca es ca") + visits("bel", "es es ca es") + visits("carla", "es ca")
    # carla has as many of each: the first by name
    assert patients_of(deal(notes, Language(), 2, seed=0)) == {"ca": ["anna", "carla"], "es": ["bel"]}


def test_eight_clinics_give_each_language_four_of_about_the_same_size() -> None:
    notes = many("a", 40, "ca") + many("b", 80, "es")
    sizes = {clinic: len(held) for clinic, held in deal(notes, Language(), 8, seed=0).items()}
    # 40 notes over 4 clinics, 80 over 4
    assert sizes == {**{f"ca-{number}": 10 for number in range(1, 5)}, **{f"es-{number}": 20 for number in range(1, 5)}}


def test_a_clinic_left_over_goes_to_the_language_with_most_notes() -> None:
    assert list(deal(many("a", 10, "ca") + many("b", 20, "es"), Language(), 3, seed=0)) == ["ca", "es-1", "es-2"]


def test_more_languages_than_clinics_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"clinics=1: the notes have 2 languages \(ca, es\).*clinics=2"):
        deal(visits("a", "ca") + visits("b", "es"), Language(), 1, seed=0)


def test_a_clinic_without_notes_is_absent() -> None:
    assert len(deal(many("a", 3, "es"), Language(), 8, seed=0)) == 3


def test_clinics_keep_the_corpus_names_and_a_patient_stays_whole() -> None:
    notes = visits("anna", "ca ca", clinic="north") + visits("bel", "ca", clinic="south")
    moved = [Note("anna-9", "xx", (), "ca", "anna", "south")]
    assert patients_of(deal(notes + moved, Clinic(), 5, seed=0)) == {"north": ["anna"], "south": ["bel"]}


def test_more_clinics_than_wanted_are_grouped_from_the_largest_on() -> None:
    sizes = {"w": 5, "x": 4, "y": 3, "z": 1}
    notes = [
        note for clinic, count in sizes.items() for n in range(count) for note in visits(f"{clinic}{n}", clinic=clinic)
    ]
    dealt = deal(notes, Clinic(), 2, seed=0)
    # w -> group-1 (5); x -> group-2 (4); y -> group-2 (7), which was smaller; z -> group-1 (6)
    assert {group: len(held) for group, held in dealt.items()} == {"group-1": 6, "group-2": 7}
    assert {note.clinic for note in dealt["group-1"]} == {"w", "z"}


def test_a_corpus_without_clinics_is_refused() -> None:
    with pytest.raises(UserError, match="names its clinic"):
        deal(visits("a"), Clinic(), 2, seed=0)


def test_iid_balances_notes_not_patients() -> None:
    notes = many("a", 4, " ".join(["ca"] * 9)) + many("b", 36, "ca")
    sizes = [len(held) for held in deal(notes, Iid(), 2, seed=0).values()]
    assert sum(sizes) == 72
    assert abs(sizes[0] - sizes[1]) <= 9  # one patient's notes


def test_quantity_follows_the_power_law() -> None:
    sizes = [len(held) for held in deal(many("a", 110, "ca"), Quantity(power=1.0), 3, seed=0).values()]
    assert sizes == [60, 30, 20]  # 110 * (1, 1/2, 1/3) / (11/6)
    assert [len(held) for held in deal(many("a", 90, "ca"), Quantity(power=0.0), 3, seed=0).values()] == [30, 30, 30]


@pytest.mark.parametrize(("alpha", "least", "most"), [(0.01, 0.9, 1.0), (1000.0, 0.2, 0.35)])
def test_a_small_alpha_puts_a_chapter_in_one_clinic_and_a_large_one_spreads_it(
    alpha: float, least: float, most: float
) -> None:
    notes = [note for number in range(400) for note in visits(f"p{number}", code="E11.9")]
    largest = max(len(held) for held in deal(notes, Dirichlet(alpha=alpha), 4, seed=1).values())
    assert least <= largest / 400 <= most


def test_dirichlet_follows_the_patients_most_frequent_chapter() -> None:
    spans = (Span(((0, 2),), "E11.9"), Span(((0, 2),), "E78.5"), Span(((0, 2),), "I10"))
    notes = [Note(f"n{number:03d}", "xx", spans) for number in range(60)]
    plain = [Note(note.id, "xx", spans[:1]) for note in notes]
    # I10 is in the minority: the deal is the same as without it
    with_minority, without = (deal(held, Dirichlet(), 4, seed=2) for held in (notes, plain))
    assert {clinic: [note.id for note in held] for clinic, held in with_minority.items()} == {
        clinic: [note.id for note in held] for clinic, held in without.items()
    }


def test_pooled_is_one_clinic_and_inside_a_language_one_each() -> None:
    notes = visits("anna", "ca") + visits("bel", "es")
    assert list(deal(notes, Pooled(), 4, seed=0)) == ["pooled"]
    assert list(deal(notes, Pooled(within_language=True), 4, seed=0)) == ["ca-pooled", "es-pooled"]


def test_the_manifest_counts_by_hand() -> None:
    span = Span(((0, 2),), "I10")
    notes = [
        Note("1", "xx", (span, span), "ca", "anna", split="test"),
        Note("2", "xx", (), "es", "anna", split="test"),
        Note("3", "xx", (Span(((0, 2),), "E11.9"),), "", split="validation"),
    ]
    entry = manifest({"pooled": notes})["pooled"]
    patients = entry.pop("patients")
    assert Counter(map(len, patients)) == {16: 2}
    assert entry == {
        "notes": 3,
        "mentions": 3,
        "languages": {"ca": 1, "es": 1, "und": 1},
        "chapters": {"IV": 1, "IX": 2},
        "splits": {"test": 2, "validation": 1},
    }


def test_a_label_that_is_no_code_has_a_chapter_of_its_own() -> None:
    note = Note("n", "aspirina", (Span(((0, 8),), "FARMACO"),), "es")
    assert describe([note])["chapters"] == {UNKNOWN: 1}
