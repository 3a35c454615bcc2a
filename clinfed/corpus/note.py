"""Note and Span: what every reader yields and every task, baseline and score starts from."""

from dataclasses import dataclass

Fragment = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The mention of a diagnosis: where it stands and its ICD-10 code.

    fragments: half-open (start, end) ranges of characters, in reading order; one, unless discontinuous.
    code: ICD-10 as written in the books: upper case, with its dot ("E11.9").
    """

    fragments: tuple[Fragment, ...]
    code: str

    @property
    def start(self) -> int:
        """Return the first character's position."""
        return self.fragments[0][0]

    @property
    def end(self) -> int:
        """Return the position after the last character."""
        return self.fragments[-1][1]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is said of a predicted span beside its code.

    title: the code's, "" where none is known. score: in [0, 1], how probable the tagger holds a mention of this code;
    not a number where nothing says it.
    """

    title: str
    score: float


@dataclass(frozen=True, slots=True)
class Note:
    """One clinical note with its annotated diagnoses (gold or predicted).

    language: ISO 639-1 ("ca", "es"), "" where unknown. patient: "" where the note stands for itself.
    clinic: where it was written, "" where unknown. split: an official split ("train", "validation", "test"), else "".
    """

    id: str
    text: str
    spans: tuple[Span, ...] = ()
    language: str = ""
    patient: str = ""
    clinic: str = ""
    split: str = ""

    @property
    def unit(self) -> str:
        """Return what splits, partitions and the bootstrap keep together: the patient, else the note itself."""
        return self.patient or self.id

    @property
    def spans_with_predictions(self) -> "list[tuple[Span, Prediction | None]]":
        """Return the spans with their predictions; None of annotated ones."""
        return [(span, None) for span in self.spans]


@dataclass(frozen=True, slots=True)
class PredictedNote(Note):
    """A note whose spans were predicted; predictions: one for each of them, in the same order."""

    predictions: tuple[Prediction, ...] = ()

    @property
    def spans_with_predictions(self) -> "list[tuple[Span, Prediction | None]]":
        """Return the spans with their predictions."""
        return list(zip(self.spans, self.predictions, strict=True))
