"""Notes and predictions in files, read for the review page."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from clinfed.corpus import kinds, prediction_details, predictions, titles
from clinfed.corpus.language import with_languages
from clinfed.corpus.note import Note, Span
from clinfed.errors import UserError
from clinfed.review.notes import Review

WRITTEN = "what `clinfed predict` wrote: *.jsonl, *.tsv, or a folder with *.ann"
Predicted = Mapping[str, Sequence[Span]]
Shown = Callable[[Iterable[Note], int | None], Iterable[Note]]
Tell = Callable[[str], None]


def load(
    out: Path,
    source: Path,
    *,
    given: str | None,
    skip_bad: bool,
    named: titles.Titles | None,
    shown: Shown,
    tell: Tell,
) -> Review:
    """Return notes and predictions. shown: yields notes while a bar moves; tell: takes a line for the user.

    given: the kind of the notes, None to see it from the path.
    Raises: UserError where they do not belong together.
    """
    kind = kind_of(out)
    skipped: Counter[str] = Counter()
    given = given or kinds.kind_of(source)
    read = kinds.read(source, given, skip_bad=skip_bad, skipped=skipped)
    notes = list(shown(with_languages(read), kinds.count(source, given)))
    if predictions.is_table(out):
        predicted = predictions.from_table(out, notes, skip_bad=skip_bad, skipped=skipped)
        predictions.check_table(out, notes, skipped)
    else:
        copies = kinds.read(out, kind, skip_bad=skip_bad, skipped=skipped)
        predicted = predictions.from_notes(out, notes, copies)
    for reason, number in sorted(skipped.items()):
        tell(f"{reason}: {number}")
    check(out, source, notes, predicted, tell)
    details = prediction_details.read(out, kind)
    return Review.of(notes, predicted, titles=named or titles_of(notes, predicted, details), details=details)


def kind_of(out: Path) -> str:
    """Return the kind of predictions. Raises: UserError where `clinfed predict` writes no such thing."""
    kind = "codiesp" if predictions.is_table(out) else kinds.kind_of(out)
    if kind not in ("jsonl", "brat", "codiesp"):
        raise UserError(f"{out}: no predictions; expected {WRITTEN}")
    return kind


def check(out: Path, source: Path, notes: Sequence[Note], predicted: Predicted, tell: Tell) -> None:
    """Say where OUT lacks notes. Raises: UserError where it is of other notes."""
    given = {note.id for note in notes}
    if unknown := len(predicted.keys() - given):
        found = f"{unknown:,} of {len(predicted):,} predicted notes are not among the {len(notes):,} of {source}"
        raise UserError(f"{out}: {found}; expected predictions of these notes; name the file that predict had read")
    absent = len(given - predicted.keys())
    if absent and not predictions.is_table(out):  # a table has no rows of notes without mentions
        tell(f"{out}: lacks {absent:,} of {len(notes):,} notes; shown as if nothing was found")


def titles_of(notes: Sequence[Note], predicted: Predicted, details: prediction_details.Details) -> titles.Titles:
    """Return the titles in OUT, by the note's language where it has one there, else what is known of the codes."""
    written = prediction_details.titles_in(details, {note.id: note.language for note in notes})
    gold = {span.code for note in notes for span in note.spans}
    known = titles.known(gold | {span.code for spans in predicted.values() for span in spans})

    def title(code: str, language: str) -> str:
        return written.get((code, language)) or known(code, language) or written.get((code, ""), "")

    return title
