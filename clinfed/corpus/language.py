"""The language of a note: its metadata where they say, else identified offline, as in the reference paper."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from clinfed.corpus.note import Note


def of(note: Note) -> str:
    """Return the note's ISO 639-1 language: from its metadata, else identified."""
    return note.language or identify(note.text)


def with_language(note: Note) -> Note:
    """Return the note with its language known."""
    return note if note.language else replace(note, language=identify(note.text))


def with_languages(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes with their languages known."""
    return map(with_language, notes)


def identify(text: str) -> str:
    """Return "ca" or "es", or a neighbour ("en", "fr", "it", "pt", "eu"), or "" for a text without words.

    Source: lingua (n-gram models, no network); restricted to these languages, since it is surest among few.
    """
    language = _detector().detect_language_of(text)
    return language.iso_code_639_1.name.lower() if language else ""


@functools.lru_cache(maxsize=1)  # the models take a second to load
def _detector() -> Any:
    from lingua import Language, LanguageDetectorBuilder

    languages = (
        Language.CATALAN,
        Language.SPANISH,
        Language.ENGLISH,
        Language.FRENCH,
        Language.ITALIAN,
        Language.PORTUGUESE,
        Language.BASQUE,
    )
    return LanguageDetectorBuilder.from_languages(*languages).build()
