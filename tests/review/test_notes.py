"""What the page is sent: an index without texts, and notes whose pieces say which mentions cover them."""

from clinfed.corpus.note import Note, Prediction, Span
from clinfed.review.notes import LANES, Review, lanes

PAIN = Span(((0, 5), (20, 27)), "R52")  # "dolor ... espalda", around the other's end
CHEST, OTHER = Span(((0, 14),), "R07.4"), Span(((0, 14),), "R07.9")
NOTE = Note("n1", "dolor de pecho y de espalda", (CHEST, PAIN), "es")


def titled(code: str, language: str) -> str:
    return "Dolor torácico" if code == "R07.9" else ""


def review(*notes: Note, **predicted: tuple[Span, ...]) -> Review:
    said = {("n1", PAIN): Prediction("Dolor", 0.25)}
    return Review.of(notes, predicted, titles=titled, details=said)


def test_overlapping_and_discontinuous_mentions_cover_their_pieces() -> None:
    found = review(NOTE, n1=(OTHER, PAIN)).note(0)
    assert found["pieces"] == [
        ["dolor", {0: "both", 1: "both"}],
        [" de pecho", {1: "both"}],
        [" y de ", {}],
        ["espalda", {0: "both"}],
    ]
    assert [(each["kind"], each["lane"]) for each in found["mentions"]] == [(0, 0), (1, 1)]  # exact, wrong code


def test_a_wrong_boundary_says_which_words_are_golds_alone() -> None:
    found = review(Note("n1", "hipertensio arterial", (Span(((0, 20),), "I10"),)), n1=(Span(((0, 11),), "I10"),))
    assert found.note(0)["pieces"] == [["hipertensio", {0: "both"}], [" arterial", {0: "gold"}]]


def test_a_mention_has_code_title_words_and_score() -> None:
    exact, wrong = review(NOTE, n1=(OTHER, PAIN)).note(0)["mentions"]
    places = {"text": "dolor … espalda", "places": "0–5, 20–27"}
    assert exact["gold"] == {"code": "R52", "title": "", "score": None, **places}
    assert exact["predicted"] == {"code": "R52", "title": "Dolor", "score": 0.25, **places}
    assert (wrong["gold"]["code"], wrong["predicted"]["code"]) == ("R07.4", "R07.9")
    assert (wrong["gold"]["title"], wrong["predicted"]["title"]) == ("", "Dolor torácico")


def test_the_index_names_notes_and_codes_but_holds_no_text() -> None:
    index = review(NOTE, Note("n2", "bé", (), "ca"), n1=(OTHER,)).index()
    assert index["codes"] == [["R07.4", ""], ["R07.9", "Dolor torácico"], ["R52", ""]]
    # Missed (4) R52, place 2; wrong code (1) R07.4 and R07.9.
    assert index["notes"] == [["n1", "es", [4, 2, -1, 1, 0, 1]], ["n2", "ca", []]]
    assert "dolor" not in str(index)


def test_without_gold_there_are_no_kinds_of_error() -> None:
    found = review(Note("n1", NOTE.text), n1=(OTHER, PAIN))
    assert found.kinds == ("predicted",)
    assert found.index()["notes"] == [["n1", "", [0, -1, 1, 0, -1, 0]]]


def test_more_mentions_on_a_word_than_lanes_share_them() -> None:
    spans = tuple(Span(((0, 5),), f"A{number:02}") for number in range(LANES + 2))
    [mentions] = review(Note("n1", "dolor de pecho", spans)).mentions
    assert lanes(mentions) == [*range(LANES), 0, 1]
    [apart] = review(Note("n1", "dolor de pecho", (Span(((0, 5),), "A00"), Span(((5, 8),), "A00")))).mentions
    assert lanes(apart) == [0, 0]  # half-open: the second begins where the first ends
