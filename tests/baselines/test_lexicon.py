"""The lexicon does exactly what its definition says."""

import random
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinfed.baselines.lexicon import Lexicon, count_whole_words, lower
from clinfed.corpus.note import Note, Span


def annotated(identity: str, text: str, *found: tuple[str, str]) -> Note:
    """Return a note whose spans are the first occurrences of the given words."""
    spans = tuple(Span(((text.index(word), text.index(word) + len(word)),), code) for word, code in found)
    return Note(identity, text, spans)


def test_forms_match_whole_words_in_any_case() -> None:
    lexicon = Lexicon.fit([annotated("a", "Asma leve", ("Asma", "J45"))])
    # "asmática" and "preasma" hold the letters but not the word; the full stop ends a word
    assert lexicon.predict("preasma asmática ASMA. asma") == [Span(((17, 21),), "J45"), Span(((23, 27),), "J45")]


def test_a_form_is_kept_at_three_of_ten_and_dropped_at_three_of_eleven() -> None:
    def notes(occurrences: int) -> list[Note]:
        plain = [Note(f"p{i}", "tos") for i in range(occurrences - 3)]
        return plain + [annotated(f"a{i}", "tos", ("tos", "R05")) for i in range(3)]

    assert Lexicon.fit(notes(10)).codes == {"tos": "R05"}  # 3 / 10 = 0.30
    assert Lexicon.fit(notes(11)).codes == {}  # 3 / 11 = 0.27


def test_occurrences_inside_words_do_not_count_against_a_form() -> None:
    notes = [annotated("a", "tos", ("tos", "R05")), Note("b", "gatos datos ratos tosco")]
    assert Lexicon.fit(notes).codes == {"tos": "R05"}  # 1 of 1; counting substrings it would be 1 of 5


def test_occurrences_of_one_form_never_overlap() -> None:
    assert count_whole_words(["a-b-a", "b-a"], ["a-b-a-b-a"]) == {"a-b-a": 1, "b-a": 2}  # as re.finditer counts them


def test_forms_shorter_than_three_and_discontinuous_spans_are_left_out() -> None:
    discontinuous = Note("b", "dolor en pecho", (Span(((0, 5), (9, 14)), "R07"),))
    assert Lexicon.fit([annotated("a", "TA HTA", ("TA", "X"), ("HTA", "I10")), discontinuous]).codes == {"hta": "I10"}


def test_the_most_frequent_code_wins_and_ties_go_to_the_first_in_order() -> None:
    often = [annotated(str(i), "asma", ("asma", code)) for i, code in enumerate(("J45", "Z01", "Z01"))]
    assert Lexicon.fit(often).codes == {"asma": "Z01"}
    tie = often[:2]
    assert Lexicon.fit(tie).codes == Lexicon.fit(tie[::-1]).codes == {"asma": "J45"}


def test_the_leftmost_match_wins_before_the_longest() -> None:
    lexicon = Lexicon({"dolor": "A", "dolor agudo": "B", "agudo de pecho": "C"})
    # at 0 the longest is "dolor agudo"; "agudo de pecho" is longer but begins further right
    assert lexicon.predict("dolor agudo de pecho") == [Span(((0, 11),), "B")]


def test_lower_case_keeps_every_character_in_its_place() -> None:
    text = "İ tos"  # "İ".lower() has two characters
    assert len("İ".lower()) == 2
    assert Lexicon({"tos": "R05"}).predict(text) == [Span(((2, 5),), "R05")]
    assert lower("ÀSMA") == "àsma"


@pytest.mark.parametrize("trained", ["NFC", "NFD"])
@pytest.mark.parametrize("met", ["NFC", "NFD"])
def test_composed_and_decomposed_letters_are_the_same(trained: str, met: str) -> None:
    mention = unicodedata.normalize(trained, "Infecció")
    lexicon = Lexicon.fit([annotated("a", unicodedata.normalize(trained, "Té ") + mention, (mention, "B99"))])
    assert lexicon.codes == {"infecció": "B99"}
    text = unicodedata.normalize(met, "també INFECCIÓ à.")
    start = text.index("I")
    assert lexicon.predict(text) == [Span(((start, text.index(" ", start)),), "B99")]


def test_an_empty_lexicon_predicts_nothing() -> None:
    assert Lexicon.fit([]).predict("asma") == []


pieces = st.text(alphabet="ab1_é .(-", min_size=1, max_size=8)


@given(forms=st.sets(pieces.filter(lambda form: len(form) >= 3), max_size=8), texts=st.lists(pieces, max_size=12))
def test_counts_equal_finditer_form_by_form(forms: set[str], texts: list[str]) -> None:
    long_texts = [*texts, "".join(texts), " ".join(sorted(forms))]
    expected = Counter(
        {form: sum(len(re.findall(rf"(?<!\w){re.escape(form)}(?!\w)", text)) for text in long_texts) for form in forms}
    )
    assert count_whole_words(forms, long_texts) == +expected


@given(forms=st.sets(pieces.filter(lambda form: len(form) >= 3), min_size=1, max_size=8), text=st.text("ab1_é .(-"))
def test_prediction_equals_one_alternation_longest_first(forms: set[str], text: str) -> None:
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
    expected = [match.span() for match in re.finditer(pattern, text)]
    predicted = Lexicon(dict.fromkeys(forms, "R69")).predict(text)
    assert [span.fragments[0] for span in predicted] == expected


def test_sixteen_thousand_short_notes_fit_in_one_pass() -> None:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdeimnorst", k=6)) for _ in range(3000)]
    notes = []
    for number in range(16_000):
        text = " ".join(rng.choices(words, k=40))
        notes.append(Note(str(number), text, (Span(((0, 6),), "R69"), Span(((7, 20),), "I10"))))
    lexicon = Lexicon.fit(notes)
    assert len(lexicon.codes) > 10_000  # one pass over the texts, not one per form


def test_a_match_is_scored_by_the_share_of_its_forms_occurrences_that_were_annotated() -> None:
    text = "tos, tos y tos"
    lexicon = Lexicon.fit([Note("1", text, (Span(((0, 3),), "R05"), Span(((5, 8),), "R05")))])
    assert lexicon.scored("sin tos") == {Span(((4, 7),), "R05"): 2 / 3}
