"""The notes on view with their corrections: those of reviewed notes are in a file, those of begun ones here alone."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clinfed.corpus.note import Note, PredictedNote, Prediction, Span
from clinfed.review.corrections import Coded, Correction, Decision, RefusedError, derived, parsed, untouched
from clinfed.review.notes import Review
from clinfed.review.saved import CorrectionsFile

UNTOUCHED, BEGUN, REVIEWED = range(3)  # how far a note is


@dataclass
class Desk:
    """What the page shows and takes. corrections: by the note's number; revisions: how often each was corrected."""

    review: Review
    file: CorrectionsFile
    corrections: Mapping[int, Correction] = field(init=False)
    revisions: Counter[int] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        numbers = {note.id: number for number, note in enumerate(self.review.notes)}
        before = [(numbers[note.id], note.spans) for note in self.file.notes(self.review.notes)]
        self.corrections = {number: derived(self.review.mentions[number], spans) for number, spans in before}

    def index(self) -> dict[str, Any]:
        """Return the index of all notes, how far each is, and where their corrections are saved."""
        states = [self.state(number) for number in range(len(self.review.notes))]
        return self.review.index() | {"states": states, "file": self.file.path.name}

    def note(self, number: int) -> dict[str, Any]:
        """Return one note with its correction, as the page sends it back."""
        correction = self.correction(number)
        said = [self._said(decision, self.review.notes[number].language) for decision in correction.decisions]
        return self.review.note(number, correction.added) | {
            "revision": self.revisions[number],
            "state": self.state(number),
            "decisions": said,
            "added": [[span.start, span.end, span.code] for span in correction.added],
        }

    def correct(self, number: int, body: bytes) -> dict[str, Any]:
        """Take a correction, save it where the note is reviewed, and return the note as it is now.

        Raises: RefusedError, OSError; then all is as before.
        """
        revision, correction = parsed(body, self.review.mentions[number], self.review.notes[number].text)
        if revision != self.revisions[number]:
            raise RefusedError("this note was corrected in another window; load the page again", 409)
        now = {**self.corrections, number: correction}
        if correction.is_reviewed or self.correction(number).is_reviewed:
            self.file.write(self._corrected(now))
        self.corrections = now
        self.revisions[number] += 1
        return self.note(number)

    def correction(self, number: int) -> Correction:
        """Return the correction of a note."""
        return self.corrections.get(number) or untouched(self.review.mentions[number])

    def state(self, number: int) -> int:
        """Return how far a note is."""
        correction = self.correction(number)
        return REVIEWED if correction.is_reviewed else BEGUN if correction.is_begun else UNTOUCHED

    def count(self, state: int) -> int:
        """Return how many notes are so far."""
        return sum(self.state(number) == state for number in self.corrections)

    def corrected(self) -> Iterator[Note]:
        """Yield the reviewed notes with the mentions that stay."""
        return self._corrected(self.corrections)

    def exported(self) -> Iterator[Note]:
        """Yield all notes: reviewed ones with the mentions that stay, others as predicted."""
        for number, note in enumerate(self.review.notes):
            mentions, correction = self.review.mentions[number], self.correction(number)
            if correction.is_reviewed:
                yield replace(note, spans=correction.spans(mentions))
            else:
                yield self._predicted(note, [mention.predicted for mention in mentions if mention.predicted])

    def _predicted(self, note: Note, spans: Sequence[Span]) -> PredictedNote:
        unknown = Prediction("", math.nan)
        said = tuple(self.review.details.get((note.id, span), unknown) for span in sorted(spans))
        given = {
            "language": note.language,
            "patient": note.patient,
            "clinic": note.clinic,
            "split": note.split,
            "article": note.article,
        }
        return PredictedNote(note.id, note.text, tuple(sorted(spans)), **given, predictions=said)

    def _corrected(self, corrections: Mapping[int, Correction]) -> Iterator[Note]:
        for number, correction in sorted(corrections.items()):
            if correction.is_reviewed:
                spans = correction.spans(self.review.mentions[number])
                yield replace(self.review.notes[number], spans=spans)

    def _said(self, decision: Decision, language: str) -> Any:
        if isinstance(decision, Coded):
            return {"code": decision.code, "title": self.review.titles(decision.code, language)}
        return decision
