"""Gazetteer features: a training note learns nothing from itself."""

from clinfed.baselines.gazetteer import FOLDS, GazetteerFeatures
from clinfed.corpus.note import Note, Span


def note_of(patient: int, word: str) -> Note:
    span = Span(((0, len(word)),), "J45")
    return Note(f"note-{patient}", f"{word} leve", (span,), patient=f"patient-{patient}")


def test_a_form_that_one_patient_has_is_no_hint_in_that_patients_notes_but_in_others():
    train = [note_of(0, "asmaintrinseca"), *(note_of(patient, "asma") for patient in range(1, 20))]
    features = GazetteerFeatures(train)
    assert features.of(train[0]) == []
    assert features.of(Note("new", train[0].text)) == list(train[0].spans)


def test_a_form_of_many_patients_is_a_hint_everywhere():
    train = [note_of(patient, "asma") for patient in range(20)]
    features = GazetteerFeatures(train)
    assert all(features.of(note) == list(note.spans) for note in train)


def test_an_unseen_note_of_a_training_patient_is_kept_apart_too():
    train = [note_of(0, "asmaintrinseca"), *(note_of(patient, "asma") for patient in range(1, 20))]
    later = Note("later", train[0].text, patient="patient-0")
    assert GazetteerFeatures(train).of(later) == []


def test_the_key_depends_on_notes_and_not_on_their_order():
    train = [note_of(patient, "asma") for patient in range(FOLDS)]
    assert GazetteerFeatures(train).key == GazetteerFeatures(train[::-1]).key != GazetteerFeatures(train[1:]).key
