"""What the readers of files share: the corpus of a path. This module is no option of `corpus=`."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from clinfed.corpus import labels
from clinfed.corpus.casing import cased
from clinfed.corpus.note import Note
from clinfed.corpus.source import Corpus


@dataclass(frozen=True)
class FileCorpus(Corpus):
    """Notes in files below `path`."""

    def notes(self, skipped: Counter[str] | None = None) -> Iterator[Note]:
        """Yield all notes in the order of their files. skipped: counts what reading leaves out, merges or ignores."""
        return cased(self._read(Counter() if skipped is None else skipped), lowercase=self.lowercase)

    def codes(self) -> list[str]:
        """Return the codes of the labels file. Raises UserError where none was given."""
        return labels.shared(self.labels, type(self).__name__.lower())

    @abstractmethod
    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        """Yield the notes as they stand in the files, counting in `skipped`."""
        raise NotImplementedError
