"""Case normalisation, an option of every corpus, as in the reference paper."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from clinfed.corpus.note import Note


def lower(text: str) -> str:
    """Return the text in lower case, character by character, where that leaves one character; no offset moves."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    # "İ" becomes two characters, and would shift every offset after it.
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def cased(notes: Iterable[Note], *, lowercase: bool) -> Iterator[Note]:
    """Yield the notes, their text in lower case where asked."""
    for note in notes:
        yield replace(note, text=lower(note.text)) if lowercase else note
