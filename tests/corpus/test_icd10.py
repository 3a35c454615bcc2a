import pytest

from clinfed.corpus import icd10


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("n44.8", "N44.8"),
        (" e119 ", "E11.9"),  # many exports leave the dot out
        ("R52", "R52"),
        ("s42.90x", "S42.90X"),  # placeholders for what is left open, 3% of CodiEsp
        ("w19.xxx", "W19.XXX"),
        ("W19XXXA", "W19.XXXA"),
        ("i21a1", "I21.A1"),  # ICD-10-CM has letters after some categories
        ("E11A", "E11.A"),
        ("G43A0", "G43.A0"),
        ("G43E09", "G43.E09"),
        ("C84A0", "C84.A0"),
        ("C84AA", "C84.AA"),
        ("T45AX1A", "T45.AX1A"),
        ("Y93K1", "Y93.K1"),
        ("c7a.1", "C7A.1"),
        ("O9A.2", "O9A.2"),
        ("u07.1", "U07.1"),
    ],
)
def test_a_code_becomes_upper_case_with_its_dot(written: str, normal: str) -> None:
    assert icd10.normalise(written) == normal
    assert icd10.is_code(written)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "E1",
        "11.9",
        "E11.",
        "E11.9.1",
        "E11,9",
        "E11.12345",
        "EE1.9",
        "bw03zzz",
        "FARMACO",
        "diabetes",
        "E11-9",
        "È11.9",
        "B12MG",  # words beside a number
        "T10CM",
        "H20BUENO",
        "QA0BA",
        "EA1.9",  # the form is right, but no chapter holds them
        "EA19",
        "I9A.1",
    ],
)
def test_what_is_no_code_is_refused_without_repeating_it(wrong: str) -> None:
    assert not icd10.is_code(wrong)
    with pytest.raises(ValueError, match=r"not the form|no chapter") as caught:
        icd10.normalise(wrong)
    assert not wrong or wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("A00.0", "I"),
        ("D48.9", "II"),  # chapters II and III meet inside the letter D,
        ("D50.0", "III"),
        ("D3A.0", "II"),  # where D3A sorts between D39 and D40
        ("H59.9", "VII"),  # and VII and VIII inside H
        ("H60.0", "VIII"),
        ("O9A.2", "XV"),
        ("R52", "XVIII"),
        ("T88.9", "XIX"),
        ("W19.XXX", "XX"),
        ("z20.818", "XXI"),
        ("U07.1", "XXII"),
    ],
)
def test_chapters_have_their_ranges(code: str, number: str) -> None:
    assert icd10.chapter(code) == number


def test_every_category_has_exactly_one_chapter() -> None:
    categories = [f"{letter}{number:02}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for number in range(100)]
    for category in categories:
        assert sum(first <= category <= last for first, last, _ in icd10.CHAPTERS.values()) == 1


def test_a_label_without_code_has_no_chapter() -> None:
    with pytest.raises(ValueError, match="not the form"):
        icd10.chapter("FARMACO")


def test_category_is_what_stands_before_the_dot() -> None:
    assert icd10.category("e119") == "E11"
