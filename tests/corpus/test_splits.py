from collections import Counter, defaultdict

import pytest

from clinfed.corpus.note import Note
from clinfed.corpus.splits import hashed_share, split_of, training_slice


def plain(number: int, **fields: str) -> Note:
    return Note(f"note-{number}", "text", **fields)


def test_a_hundred_thousand_notes_fall_70_10_20() -> None:
    counts = Counter(split_of(plain(number)) for number in range(100_000))
    # A share's standard deviation is at most sqrt(.7 * .3 / 1e5) = .0014; three of them are .0045.
    assert counts["train"] / 100_000 == pytest.approx(0.7, abs=0.0045)
    assert counts["validation"] / 100_000 == pytest.approx(0.1, abs=0.0045)
    assert counts["test"] / 100_000 == pytest.approx(0.2, abs=0.0045)


def test_all_notes_of_a_patient_share_a_split() -> None:
    splits = defaultdict(set)
    for number in range(2000):
        note = plain(number, patient=f"patient-{number % 100}", clinic=f"clinic-{number % 7}")
        splits[note.patient].add(split_of(note))
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_splits_never_change_between_versions() -> None:
    # sha256("split:note-0") etc., so that a run of today compares with one of last year.
    assert [split_of(plain(number)) for number in range(6)] == ["test", "validation", "train", "test", "test", "train"]
    assert hashed_share("split", "note-0") == pytest.approx(0.8718604675236432, abs=1e-12)


def test_official_test_and_validation_are_kept() -> None:
    assert {split_of(plain(number, split="test")) for number in range(200)} == {"test"}
    assert {split_of(plain(number, split="validation")) for number in range(200)} == {"validation"}


def test_an_official_train_split_gives_a_tenth_to_validation_and_nothing_to_test() -> None:
    counts = Counter(split_of(plain(number, split="train")) for number in range(10_000))
    assert set(counts) == {"train", "validation"}
    assert counts["validation"] / 10_000 == pytest.approx(0.1, abs=0.009)  # 3 * sqrt(.1 * .9 / 1e4)


def test_a_smaller_training_slice_lies_inside_a_larger_one() -> None:
    notes = [plain(number) for number in range(1000)]
    fifth, half = training_slice(notes, 0.2), training_slice(notes, 0.5)
    assert set(fifth) < set(half)
    assert len(fifth) == pytest.approx(200, abs=38)  # 3 * sqrt(1000 * .2 * .8)
    assert training_slice(notes, 1.0) == notes
    assert training_slice(notes, 0.0) == []


def test_the_slice_does_not_depend_on_the_split() -> None:
    # With one hash for both, a fifth of all notes by hash would be training notes only.
    assert {split_of(note) for note in training_slice([plain(number) for number in range(300)], 0.2)} == {
        "train",
        "validation",
        "test",
    }
