"""Corrections by keyboard in a real browser: what the keys decide, what is saved, and what a new visit shows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus.note import Note, Span
from clinfed.corpus.readers import jsonl
from clinfed.corpus.writers import write_jsonl
from tests.cli.review_page import Page

DIALOG = "return document.querySelector('#coding').open"
FACE = "dolor 😷 de pecho y tos seca"


@pytest.fixture
def folder(reviewed: Path, tmp_path: Path) -> Path:
    """Return a folder of the four notes and their predictions, which may be written to."""
    for name in ("notes.jsonl", "bare.jsonl", "found.jsonl"):
        shutil.copy(reviewed / name, tmp_path)
    return tmp_path


@pytest.fixture
def opened(browser: Any, serving: Callable[..., Any], folder: Path) -> Callable[..., Page]:
    """Return a function that starts the command anew and opens its page."""
    return lambda notes="bare.jsonl", out="found.jsonl": Page(browser, serving(folder / notes, folder / out).url)


def decisions(page: Page) -> list[str]:
    return page.texts("#mentions .decision")


def saved(folder: Path, name: str = "bare") -> dict[str, list[tuple[int, int, str]]]:
    """Return the mentions of the reviewed notes, by the last letter of their ids."""
    file = folder / f"{name}.corrections.jsonl"
    notes = jsonl.read(file) if file.exists() else ()
    return {note.id[-1]: [(span.start, span.end, span.code) for span in note.spans] for note in notes}


def coded(page: Page, code: str) -> None:
    """Type a code into the open dialog and save it."""
    page.until(lambda: page.browser.execute_script(DIALOG))
    page.press(code, "\ue007")  # Enter
    page.until(lambda: not page.browser.execute_script(DIALOG) or page.texts("#wrong") != [""])


def test_keys_accept_reject_and_change_codes_and_another_start_shows_it(
    opened: Callable[..., Page], folder: Path
) -> None:
    page = opened()  # note 1: asma J45, hipertensio I10, hoy R69
    assert decisions(page) == ["undecided"] * 3
    page.press("n", "a")  # and on to the next mention
    page.until(lambda: decisions(page) == ["✔ accepted", "undecided", "undecided"])
    assert page.texts("#progress") == ["Begun, not saved yet: 2 undecided"]
    assert saved(folder) == {}
    page.press("c")
    coded(page, "canary")
    assert page.texts("#wrong") == [
        "Not saved: a code that has not the form of ICD-10; expected one of ICD-10 like E11.9."
    ]
    page.browser.execute_script("document.querySelector('#new-code').value = ''")
    coded(page, "i110")
    page.until(lambda: decisions(page)[1] == "✎ I11.0")
    page.press("x")
    page.until(lambda: decisions(page)[2] == "✘ rejected")
    assert page.texts("#progress") == ["Reviewed, saved in bare.corrections.jsonl"]
    assert page.texts("#reviewed") == ["1 reviewed"]
    assert page.texts("[role=option]")[0].endswith("•3 ✔")
    assert saved(folder) == {"1": [(0, 4, "J45"), (7, 18, "I11.0")]}
    again = opened()
    assert decisions(again) == ["✔ accepted", "✎ I11.0", "✘ rejected"]
    assert again.texts("#reviewed") == ["1 reviewed"]


def test_undo_goes_back_step_by_step_over_notes(opened: Callable[..., Page], folder: Path) -> None:
    page = opened()
    page.press("n", "x")
    page.until(lambda: decisions(page)[0] == "✘ rejected")
    page.press("\ue007")  # Enter: what is left is accepted, and on to note 2
    page.note_is(2)
    assert saved(folder) == {"1": [(7, 18, "I10"), (28, 31, "R69")]}
    page.press("u")
    page.note_is(1)
    page.until(lambda: decisions(page) == ["✘ rejected", "undecided", "undecided"])
    assert saved(folder) == {}
    assert not (folder / "bare.corrections.jsonl").exists()
    page.press("u")
    page.until(lambda: decisions(page) == ["undecided"] * 3)
    assert page.texts("#progress") == ["To review: 3 undecided"]


def test_selected_words_become_a_mention_counted_in_characters(opened: Callable[..., Page], folder: Path) -> None:
    write_jsonl([Note("canarynote-5", FACE, (), "es")], folder / "face.jsonl")
    write_jsonl([Note("canarynote-5", FACE, (Span(((20, 23),), "R05"),), "es")], folder / "said.jsonl")
    page = opened("face.jsonl", "said.jsonl")
    page.press("m")
    assert page.texts("#trouble")[0].startswith("Select the words of the mention first")
    selected = "return getSelection().toString()"
    page.press("\ue014", "\ue014")  # Right, twice: the second word
    assert page.browser.execute_script(selected) == "de"
    page.press("\ue014")
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    actions = ActionChains(page.browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    actions.key_up(Keys.SHIFT).perform()  # over the code that stands behind "tos"
    assert page.browser.execute_script(selected) == "pecho y tos"
    page.press("m")
    coded(page, "r07.4")
    page.until(lambda: page.texts("#mentions tr")[1:] == ["✔ accepted✎ addedR07.4pecho y tos 11–22"])
    page.press("n", "a")
    page.until(lambda: saved(folder, "face") == {"5": [(11, 22, "R07.4"), (20, 23, "R05")]})
    page.press("n", "x")  # the added one goes again
    page.until(lambda: saved(folder, "face") == {"5": [(20, 23, "R05")]})


def test_words_selected_with_the_mouse_lose_their_blanks(opened: Callable[..., Page], folder: Path) -> None:
    page = opened()
    page.browser.execute_script(
        "const texts = [...document.querySelectorAll('#text')][0].childNodes; "
        "const gap = [...texts].find((each) => each.nodeType === 3 && each.data.startsWith(' arterial'));"
        "getSelection().setBaseAndExtent(gap, 0, gap, 10)"
    )
    page.press("m")
    coded(page, "I10")
    page.until(lambda: page.texts("#mentions tr")[-1] == "✔ accepted✎ addedI10 Tarterial 19–27")
    assert saved(folder) == {}  # three mentions wait


def test_with_gold_enter_takes_nothing_for_granted(opened: Callable[..., Page], folder: Path) -> None:
    page = opened("notes.jsonl")  # note 1: exact, wrong boundary, spurious
    page.press("\ue007")
    page.until(lambda: page.texts("#trouble")[0].startswith("Prediction and gold differ here"))
    assert decisions(page) == ["undecided"] * 3
    page.press("g")
    page.until(lambda: decisions(page) == ["undecided", "✔ gold", "undecided"])
    assert not page.browser.find_element("id", "trouble").is_displayed()
    page.press("x")
    page.until(lambda: decisions(page)[2] == "✘ rejected")
    page.press("\ue007")
    page.note_is(2)
    assert saved(folder, "notes") == {"1": [(0, 4, "J45"), (7, 27, "I10")]}  # gold's boundary
    page.press("j", "n", "a")  # note 3: missed; accepted, the gold stays
    page.until(lambda: "3" in saved(folder, "notes"))
    assert saved(folder, "notes")["3"] == [(0, 3, "R05")]


def test_what_cannot_be_saved_is_said_and_stays_undecided(opened: Callable[..., Page], folder: Path) -> None:
    page = opened()
    write_jsonl([Note("canarynote-9", "nova")], folder / "bare.jsonl")
    page.press("\ue007")
    page.until(lambda: "the notes have changed; nothing was saved" in page.texts("#trouble")[0])
    assert decisions(page) == ["undecided"] * 3
    assert page.texts("#reviewed") == ["0 reviewed"]


def test_the_keys_stand_on_the_page_and_notes_are_filtered_by_state(opened: Callable[..., Page], folder: Path) -> None:
    page = opened()
    assert page.browser.find_element("id", "legend").is_displayed()
    assert not page.browser.find_element("id", "of-gold").is_displayed()
    keys = set(page.texts("#legend kbd"))
    assert {"a", "x", "c", "m", "u", "Enter", "n", "p", "j", "k"} <= keys
    page.press("\ue007")
    page.note_is(2)
    page.browser.execute_script(
        "const s = document.querySelector('#state'); s.value = '2'; s.dispatchEvent(new Event('change'))"
    )
    assert page.ids() == ["1"]
    page.browser.execute_script(
        "const s = document.querySelector('#state'); s.value = '0'; s.dispatchEvent(new Event('change'))"
    )
    assert page.ids() == ["2", "3", "4"]
