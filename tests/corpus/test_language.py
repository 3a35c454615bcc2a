import pytest

from clinfed.corpus import language
from clinfed.corpus.note import Note


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pacient de 64 anys amb tos i febre des de fa tres dies, sense dispnea. Auscultació normal.", "ca"),
        ("Paciente de 64 años con tos y fiebre desde hace tres días, sin disnea. Auscultación normal.", "es"),
        ("64-year-old man with cough and fever for three days.", "en"),
        ("12/80 -- 36.7", ""),
    ],
)
def test_sentences_are_told_apart(text: str, expected: str) -> None:
    assert language.identify(text) == expected


def test_metadata_come_first() -> None:
    spanish = "Paciente con tos y fiebre desde hace tres días."
    assert language.with_language(Note("a", spanish, language="ca")).language == "ca"
    assert language.with_language(Note("a", spanish)).language == "es"


def test_with_language_fills_in_only_what_is_missing() -> None:
    known = Note("a", "Paciente con tos y fiebre.", language="ca", patient="p")
    assert language.with_language(known) is known
    unknown = Note("b", "El pacient té tos i febre des de fa tres dies.", patient="p")
    assert list(language.with_languages([known, unknown])) == [known, Note("b", unknown.text, (), "ca", "p")]


def test_real_cases_are_spanish(codiesp_path: object) -> None:
    from clinfed.corpus.readers.codiesp import read

    notes = [note for note, _ in zip(read(str(codiesp_path)), range(50), strict=False)]
    assert {language.identify(note.text) for note in notes} == {"es"}


def test_a_neighbour_must_be_likelier_than_not() -> None:
    # Italian .20, Spanish .19, Catalan .18: the likeliest of seven would be Italian.
    assert language.identify("Tumor renal.") == "es"
