"""The lexicon that chooses its share and its filter on validation notes, and the filter itself."""

import pytest

from clinfed.baselines.chosen_lexicon import ChosenLexicon
from clinfed.baselines.context import REACH, excluded
from clinfed.baselines.lexicon import LEAST_SHARE, Lexicon
from clinfed.corpus.note import Note, Span


def note(identity: str, text: str, word: str = "", code: str = "J45") -> Note:
    """Return a note whose first occurrence of a word is annotated, none where there is no word."""
    start = text.index(word)
    return Note(identity, text, (Span(((start, start + len(word)),), code),) if word else ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("niega asma", True),
        ("no tiene asma", True),
        ("sense asma", True),
        ("madre con asma", True),
        ("mare amb asma", True),
        ("vacuna para asma", True),
        ("asma leve", False),
        ("sin fiebre. asma", False),  # another sentence
        ("sin fiebre ni tos, con mucha disnea; asma", False),
        ("nota asma", False),  # holds the letters of a cue
        (f"no {'palabra ' * (REACH - 1)}asma", True),
        (f"no {'palabra ' * REACH}asma", False),  # too far
    ],
)
def test_a_cue_counts_in_its_sentence_and_within_reach(text: str, expected: bool) -> None:
    assert excluded(text, text.index("asma")) is expected


def test_a_filtered_match_is_left_out_and_others_stay() -> None:
    lexicon = Lexicon({"asma": "J45"})
    text = "Niega Asma. Asma leve."
    assert [span.start for span in lexicon.predict(text)] == [6, 12]
    assert [span.start for span in lexicon.predict(text, filtered=True)] == [12]


def test_combining_marks_before_a_match_do_not_move_its_context() -> None:
    text = "niega a\u0301lgias, asma"  # the accent is a character of its own
    assert Lexicon({"asma": "J45"}).predict(text, filtered=True) == []


def test_the_share_is_chosen_on_validation() -> None:
    # "tos" is annotated in 1 of 5 notes: the usual share of .30 drops it. All validation notes annotate it.
    train = [note("a", "tos", "tos", "R05"), *(note(f"p{i}", "tos") for i in range(4))]
    known = [note("v", "tos", "tos", "R05")]
    chosen = ChosenLexicon.fit(train, known)
    assert chosen.least_share < LEAST_SHARE
    assert len(chosen.predict("tos")) == 1
    other = [note("v", "tos"), note("w", "asma", "asma")]  # here no note annotates it
    assert ChosenLexicon.fit([*train, note("b", "asma", "asma")], other).predict("tos") == []


def test_the_filter_is_chosen_only_where_it_helps() -> None:
    train = [note("a", "asma", "asma")]
    assert ChosenLexicon.fit(train, [note("v", "niega asma"), note("w", "asma", "asma")]).filtered
    assert not ChosenLexicon.fit(train, [note("v", "niega asma", "asma")]).filtered


def test_without_validation_notes_it_is_the_plain_lexicon() -> None:
    train = [note("a", "asma tos tos tos tos", "asma"), note("b", "tos", "tos", "R05")]
    chosen = ChosenLexicon.fit(train, [])
    assert (chosen.least_share, chosen.filtered) == (LEAST_SHARE, False)
    assert chosen.lexicon.codes == Lexicon.fit(train).codes
