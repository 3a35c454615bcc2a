import sys

from clinfed.corpus.casing import cased, lower
from clinfed.corpus.note import Note, Span


def test_no_character_changes_the_length() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    lowered = lower(everything)
    assert len(lowered) == len(everything)
    assert lowered[ord("É")] == "é"
    assert lowered[ord("İ")] == "İ"  # would become two


def test_only_the_text_changes_and_only_where_asked() -> None:
    note = Note("A", "Té HTA", (Span(((3, 6),), "I10"),), patient="P")
    assert list(cased([note], lowercase=True)) == [Note("A", "té hta", note.spans, patient="P")]
    assert list(cased([note], lowercase=False)) == [note]
