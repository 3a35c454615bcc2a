"""Note and Span: what every reader yields and every task, baseline and score starts from."""

from dataclasses import dataclass, field

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
    clinic: where it was written, "" where unknown. split: an official split ("train", "validation", "test"), else "";
    "whole train" where the corpus has a validation part of its own, so that none of its training notes validates.
    article: the publication that the note was taken from, "" where none; notes of one are no independent draws.
    """

    id: str
    text: str
    spans: tuple[Span, ...] = ()
    language: str = ""
    patient: str = ""
    clinic: str = ""
    split: str = ""
    article: str = field(default="", kw_only=True, repr=False)

    @property
    def unit(self) -> str:
        """Return what splits, partitions and the bootstrap keep together: the patient, the article, else the note."""
        return self.patient or self.article or self.id

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
