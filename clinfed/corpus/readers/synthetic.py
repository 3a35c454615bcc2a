"""corpus=synthetic: the embedded invented notes, made on the fly."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clinfed.corpus.note import Note
from clinfed.corpus.source import Corpus
from clinfed.corpus.synthetic import MOST_CODES, codes, generate


@dataclass
class Synthetic(Corpus):
    """Invented bilingual primary-care notes; splits are by patient, so no note names one."""

    train_fraction: float = 0.2  # the default job's slice: about 3,000 training notes
    seed: int = 0  # of the notes; another seed gives other patients
    patients: int = 320  # 320 gives the published size, 21,812 notes
    min_codes: int = 0  # of the shared list: codes that no note has fill it up, as in a real one

    def __post_init__(self) -> None:
        if not 0 <= self.min_codes <= MOST_CODES:
            raise ValueError(f"corpus.min_codes={self.min_codes}: expected 0 to {MOST_CODES}")

    def notes(self) -> Iterator[Note]:
        """Yield all notes in the order of their ids."""
        yield from generate(self.seed, self.patients)

    def is_public(self, notes: Iterable[Note]) -> bool:
        """Return True: all are invented."""
        return True

    def codes(self) -> list[str]:
        """Return the generator's code list, filled up to `min_codes`."""
        return codes(self.min_codes)
