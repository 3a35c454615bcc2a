"""A lexicon whose least share and whose filter of the left context are chosen by strict micro-F1 on validation notes.

The lexicon of `lexicon.py` has one rule for all; this opponent is given what the adapters are given: a choice.

    chosen = ChosenLexicon.fit(training_notes, validation_notes)
    spans = chosen.predict(text)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from clinfed.baselines.lexicon import LEAST_SHARE, Lexicon
from clinfed.corpus.note import Note, Span
from clinfed.evaluation.counts import Counts

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SETTINGS = (*product((False, True), SHARES),)  # with the filter or not; the least share


@dataclass(frozen=True)
class ChosenLexicon:
    """A lexicon with what was chosen."""

    lexicon: Lexicon
    filtered: bool
    least_share: float

    def predict(self, text: str) -> list[Span]:
        """Return the leftmost-longest matches that the filter lets through."""
        return self.lexicon.predict(text, filtered=self.filtered)

    @classmethod
    def fit(cls, train: Sequence[Note], validation: Sequence[Note]) -> "ChosenLexicon":
        """Return the lexicon of the training notes with the best of SETTINGS on validation notes.

        Of equal ones the first; without validation notes, the plain lexicon.
        """
        whole = Lexicon.fit(train, least_share=min(SHARES))
        if not validation:
            return cls(whole.above(LEAST_SHARE), False, LEAST_SHARE)
        tried = [cls(whole.above(share), filtered, share) for filtered, share in SETTINGS]
        return max(tried, key=lambda each: each.f1(validation))

    def f1(self, notes: Sequence[Note]) -> float:
        """Return the strict micro-F1 on annotated notes."""
        counts = Counts()
        for note in notes:
            gold, found = frozenset(note.spans), frozenset(self.predict(note.text))
            counts += Counts(len(gold & found), len(found - gold), len(gold - found))
        return counts.f1
