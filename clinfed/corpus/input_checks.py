"""The checks on every note: what may enter, what is refused or skipped, and how that is said.

A note's text is UTF-8 and not blank. It has no byte order mark and no carriage return (readers convert them, see
`counting`). Each mention has a code, and non-empty ranges in reading order inside the text. A note has an id of its
own, and a patient is in one split. A note is kept whole or skipped whole: with a hole in its annotation, right
predictions would count as false. No message holds a word of a note, a code, an id or a patient.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from clinfed.corpus import icd10, terminologies
from clinfed.corpus.note import Fragment, Note, Span
from clinfed.errors import UserError, printable


class BadInputError(UserError):
    """A fault in a file of notes. kind: a few fixed words, under which skipped notes are counted."""

    def __init__(self, where: str, kind: str, found: str, expected: str) -> None:
        remedy = "correct the file, or pass --skip-bad (corpus.skip_bad=true) to leave such notes out"
        super().__init__(f"{printable(where)}: {found}; expected {expected}; {remedy}")
        self.where, self.kind, self._said = where, kind, (found, expected)

    def because(self, cause: str) -> "BadInputError":
        """Return the fault with more words on what was found."""
        found, expected = self._said
        return BadInputError(self.where, self.kind, found + cause, expected)


# Where a note begins (file:line), and the function that parses it and may raise BadInputError.
Candidate = tuple[str, Callable[[], Note]]


def checked_notes(candidates: Iterable[Candidate], *, skip_bad: bool, skipped: Counter[str]) -> Iterator[Note]:
    """Yield the notes that obey the law, one at a time; the first fault ends it, or is counted in `skipped`.

    Raises: BadInputError, unless skip_bad.
    """
    register = _Register()
    for where, parse in candidates:
        try:
            note = parse()
            check_text(where, note.text)
            register.enter(where, note)
        except BadInputError as fault:
            if not skip_bad:
                raise
            skipped[fault.kind] += 1
            continue
        yield note


@dataclass
class _Register:
    """Where each id was first seen, and the official split of each patient."""

    ids: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)

    def enter(self, where: str, note: Note) -> None:
        """Enter the note, or raise BadInputError where its id is taken or its patient stands in another split."""
        if note.id in self.ids:
            found = f"the note's id was already used at {self.ids[note.id]}"
            raise BadInputError(where, "duplicate id", found, "one id for one note")
        if note.patient and self.splits.setdefault(note.patient, note.split) != note.split:
            found = "the note's patient has notes in another split"
            raise BadInputError(where, "patient in two splits", found, "all notes of a patient in one split")
        self.ids[note.id] = where


def check_text(where: str, text: str) -> None:
    """Raise BadInputError unless the text may be a note's."""
    if not text.strip():
        raise BadInputError(where, "empty note", "the note has no text", "at least one character that is not blank")
    if text.startswith("\ufeff"):
        raise BadInputError(where, "byte order mark", "the text begins with a byte order mark", "UTF-8 without it")
    if "\r" in text:
        found = "the text has carriage returns (CR), so offsets may count them or not"
        raise BadInputError(where, "carriage return", found, "lines that end in LF, and offsets that count it as one")
    if not encodable(text):
        raise BadInputError(where, "not Unicode text", "the text has half a surrogate pair", "text that UTF-8 can hold")


def encodable(text: str) -> bool:
    """Return whether UTF-8 can hold the text: JSON can smuggle in lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_fragments(where: str, fragments: Sequence[Fragment], length: int) -> tuple[Fragment, ...]:
    """Return the fragments in reading order, or raise BadInputError unless they lie apart inside the text.

    Units: start, end and length in characters.
    """
    ordered = tuple(sorted(fragments))
    if not ordered:
        raise BadInputError(where, "no offsets", "a mention without offsets", "at least one pair start end")
    for start, end in ordered:
        if not 0 <= start < end:
            raise BadInputError(where, "empty span", f"span [{start}, {end}) holds no character", "0 <= start < end")
        if end > length:
            found = f"span [{start}, {end}) ends past the note ({length} characters)"
            raise BadInputError(where, "span past the end", found, f"an end of at most {length}")
    for (_, before), (after, end) in itertools.pairwise(ordered):
        if after < before:
            found = f"fragment [{after}, {end}) overlaps the one before it, which ends at {before}"
            raise BadInputError(where, "overlapping fragments", found, "fragments of one mention that lie apart")
    return ordered


def checked_code(where: str, code: str) -> str:
    """Return the code in its normal form, or raise BadInputError."""
    check_terminology(where, code)
    try:
        return icd10.normalise(code)
    except ValueError:
        raise broken_code(where) from None


def broken_code(where: str) -> BadInputError:
    """Return the fault of a code that is none."""
    found = "a code that has not the form of ICD-10"
    return BadInputError(where, "broken code", found, "one like E11.9, with letters only where ICD-10-CM has them")


def check_terminology(where: str, code: str) -> None:
    """Raise BadInputError where a code or label has the form of another terminology's codes."""
    if name := terminologies.formed(code):
        expected = "one of ICD-10 like E11.9" + ", with its dot if it is one (T14.9)" * (name == "UMLS")
        raise BadInputError(where, terminologies.counted(name), f"a code that has the form of {name}'s", expected)


def joined(spans: Iterable[Span], text: str, skipped: Counter[str]) -> Iterator[Span]:
    """Yield the spans, with fragments that only white space parts as one: tools write a mention over a line end so.

    skipped: counts the spans that this changes.
    """
    for span in spans:
        fragments = [span.fragments[0]]
        for start, end in span.fragments[1:]:
            if text[fragments[-1][1] : start].strip():
                fragments.append((start, end))
            else:
                fragments[-1] = (fragments[-1][0], end)
        if len(fragments) < len(span.fragments):
            skipped["fragments parted by white space (joined)"] += 1
        yield Span(tuple(fragments), span.code)


def distinct(spans: Iterable[Span], skipped: Counter[str]) -> tuple[Span, ...]:
    """Return the spans in the file's order without exact repetitions, which are counted as they say nothing new."""
    given = list(spans)
    kept = tuple(dict.fromkeys(given))
    if len(kept) < len(given):
        skipped["repeated mention (merged)"] += len(given) - len(kept)
    return kept


def parse_offset(where: str, text: str) -> int:
    """Return a character position, or raise BadInputError unless it is one to nine ASCII digits."""
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    raise BadInputError(where, "broken offsets", "offsets that are not whole numbers", "start end[;start end...]")


def parse_offsets(where: str, text: str) -> list[Fragment]:
    """Return the pairs of "start end[;start end...]", in the order written. Raises BadInputError."""
    fragments = []
    for pair in text.split(";"):
        numbers = pair.split()
        if len(numbers) != 2:
            raise BadInputError(where, "broken offsets", "offsets that are not pairs", "start end[;start end...]")
        fragments.append((parse_offset(where, numbers[0]), parse_offset(where, numbers[1])))
    return fragments
