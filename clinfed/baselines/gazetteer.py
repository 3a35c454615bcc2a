"""Gazetteer features: what a clinic's private lexicon finds in a note, as an input of the tagger (`task.lexicon=true`).

The lexicon is made from the clinic's own training notes and never leaves it; what travels is how far the tagger
trusts it, a few numbers of the head. A training note's features come from a lexicon that has not seen its patient, else
the tagger would learn to trust it more than unseen notes justify.

    features = GazetteerFeatures(training_notes)
    features.of(note)  # spans, of a training note or any other
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property

from clinfed.baselines.lexicon import Lexicon
from clinfed.corpus.note import Note, Span
from clinfed.corpus.splits import hashed_share

FOLDS = 5


class GazetteerFeatures:
    """The lexicon of the training notes, and one for each fold of patients that leaves that fold out."""

    def __init__(self, train: Sequence[Note]) -> None:
        self._train = train
        self._units = {note.unit for note in train}
        self._lexicons: dict[int, Lexicon] = {}  # by the fold that is left out; -1 leaves out none

    @cached_property
    def key(self) -> str:
        """Return a digest of the training notes, for caches of what the features gave."""
        digest = hashlib.sha256(str(FOLDS).encode())
        for note in sorted(self._train, key=lambda note: note.id):
            digest.update(repr((note.id, note.unit, note.text, note.spans)).encode())
        return digest.hexdigest()

    def of(self, note: Note) -> list[Span]:
        """Return the lexicon's matches in a note; for a training patient's, of the lexicon without that fold."""
        return self._lexicon(_fold(note) if note.unit in self._units else -1).predict(note.text)

    def _lexicon(self, fold: int) -> Lexicon:
        if fold not in self._lexicons:
            self._lexicons[fold] = Lexicon.fit(note for note in self._train if _fold(note) != fold)
        return self._lexicons[fold]


def _fold(note: Note) -> int:
    return int(hashed_share("fold", note.unit) * FOLDS)
