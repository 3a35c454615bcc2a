"""corpus=synthetic: the embedded invented notes, made on the fly."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clinfed.corpus.note import Note
from clinfed.corpus.source import FRACTION, Corpus
from clinfed.corpus.synthetic import MOST_CODES, codes, generate
from clinfed.settings import MOST_SEED, setting


@dataclass(frozen=True)
class Synthetic(Corpus):
    """Invented bilingual primary-care notes; splits are by patient, so no note names one."""

    train_fraction: float = setting(
        0.1, help="part of the training notes that is used; the default is about 1,500 notes", **FRACTION
    )
    seed: int = setting(0, help="seed of the notes; another seed gives other patients", least=0, most=MOST_SEED)
    patients: int = setting(320, help="how many are invented; 320 gives 21,812 notes", least=1, most=1_000_000)
    min_codes: int = setting(
        0,
        help="least length of the shared list; codes that no note has fill it up, as in a real list",
        least=0,
        most=MOST_CODES,
    )

    def notes(self, skipped: Counter[str] | None = None) -> Iterator[Note]:
        """Yield all notes in the order of their ids; nothing is skipped."""
        yield from generate(self.seed, self.patients)

    def is_public(self, notes: Iterable[Note]) -> bool:
        """Return True: all are invented."""
        return True

    def codes(self) -> list[str]:
        """Return the generator's code list, filled up to `min_codes`."""
        return codes(self.min_codes)
