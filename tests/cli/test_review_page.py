"""The page of `clinfed review` in a real browser, from a real server: filters, keys, colours, and no other machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.corpus.note import Note, Span
from clinfed.corpus.writers import write_jsonl
from tests.cli.review_page import Page


@pytest.fixture(scope="module")
def url(serving: Callable[..., Any]) -> str:
    """Return the printed address of the page of notes with gold."""
    return str(serving().url)


@pytest.fixture
def page(browser: Any, url: str) -> Page:
    """Return that page, opened anew."""
    return Page(browser, url)


def test_the_token_leaves_the_address_and_nothing_is_asked_of_other_machines(page: Page) -> None:
    page.press("j")
    page.note_is(2)
    assert "token" not in page.browser.current_url
    assert page.browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert len(asked) >= 6  # welcome, page, script, style, index, notes
    # The browser's own pages (chrome:) are on the way, too.
    assert {url.split("/")[2].split(":")[0] for url in asked if url.startswith(("http", "ws"))} == {"127.0.0.1"}


def test_it_opens_from_the_file_of_open_too(browser: Any, serving: Callable[..., Any], tmp_path: Path) -> None:
    # A visit that begins elsewhere: a redirect would go without the strict cookie.
    (tmp_path / "open.html").write_text(f'<meta http-equiv="refresh" content="0; url={serving().url}">')
    page = Page(browser, (tmp_path / "open.html").as_uri())
    page.note_is(1)


def test_overlapping_and_discontinuous_mentions_stand_in_the_text(page: Page) -> None:
    page.press("j")
    page.note_is(2)
    assert page.texts("#text")[0].replace("✓R52", "").replace("≠R07.4→R07.9", "") == "dolor de pecho y de espalda"
    covers = page.browser.execute_script("return [...document.querySelectorAll('mark')].map((m) => m.dataset.mentions)")
    assert covers == ["0 1", "1", "0"]
    titles = page.browser.execute_script("return [...document.querySelectorAll('mark')].map((m) => m.title)")
    assert titles[0] == "exact: R52 T\nwrong code: R07.4 → R07.9 T"
    heights = "return [...document.querySelectorAll('mark')][0].querySelectorAll('.bar').length"
    assert page.browser.execute_script(heights) == 2  # an underline for each, on lanes of their own
    bottoms = (
        "return [...document.querySelectorAll('mark:first-child .bar')].map((b) => b.getBoundingClientRect().bottom)"
    )
    lanes = page.browser.execute_script(bottoms)
    assert lanes[1] > lanes[0] + 3
    assert page.texts("#mentions tr")[1].startswith("undecided≠ wrong codegold: R07.4predicted: R07.9 T")


def test_each_kind_of_error_leaves_the_right_notes(page: Page) -> None:
    assert page.texts("#count") == ["4 of 4 notes, 6 mentions"]
    names = page.texts("#kinds button")
    assert names == ["✓ exact 2", "≠ wrong code 1", "↔ wrong boundary 1", "+ spurious 1", "− missed 1"]
    for key, ids in {"1": ["1", "2"], "2": ["2"], "3": ["1"], "4": ["1"], "5": ["3"]}.items():
        page.press(key)
        assert page.ids() == ids
        page.press(key)
    page.press("2", "5")  # either
    assert page.ids() == ["2", "3"]
    assert page.texts("#count") == ["2 of 4 notes, 2 mentions"]
    page.note_is(2)
    assert page.browser.execute_script("return document.querySelectorAll('mark.faint').length") == 1  # the exact one's
    page.press("0")
    assert page.ids() == ["1", "2", "3", "4"]


def test_code_and_language_filter_and_counts_follow(page: Page) -> None:
    page.press("/")
    page.press("r0")  # the beginning of R05, R07.4 and R07.9
    assert page.ids() == ["2", "3"]
    assert page.texts("#kinds button")[:2] == ["✓ exact 0", "≠ wrong code 1"]
    page.browser.execute_script(
        "const s = document.querySelector('#language'); s.value = 'ca'; s.dispatchEvent(new Event('change'))"
    )
    assert page.ids() == ["3"]
    page.press("j")  # text, while the field has the focus
    assert page.ids() == []
    assert page.texts("#count") == ["0 of 4 notes, 0 mentions"]
    assert page.texts("#codes option")[0] == ""
    options = page.browser.execute_script("return [...document.querySelectorAll('#codes option')].map((o) => o.value)")
    assert options == ["I10", "J45", "R05", "R07.4", "R07.9", "R52", "R69"]


def test_keys_walk_through_notes_and_mentions(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    for key, number in (("j", 2), (Keys.ARROW_DOWN, 3), (Keys.ARROW_UP, 2), ("k", 1)):
        page.press(key)
        page.note_is(number)
    for words in ("exact: J45 T: asma", "wrong boundary: I10 T: hipertensio arterial", "spurious: R69 T: hoy"):
        page.press("n")
        assert page.texts("#status")[0].endswith(f"{words}. undecided")
    assert page.texts("mark.current") == ["hoy+R69"]
    page.press("n")  # on to the next note
    page.until(lambda: page.texts("mark.current") == ["dolor", "espalda✓R52"])
    page.press("p")  # and back, to the last mention
    page.until(lambda: page.texts("mark.current") == ["hoy+R69"])
    page.press("2", "5", "n")
    page.until(lambda: page.texts("#status")[0].startswith("Mention 2 of 2: wrong code"))
    page.press("n")
    page.until(lambda: page.texts("#status")[0].startswith("Mention 1 of 1: missed"))


def test_help_opens_and_closes_by_key(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press("?")
    assert page.browser.execute_script("return document.querySelector('#help').open")
    assert "wrong boundary" in page.texts("#meanings")[0]
    page.press(Keys.ESCAPE)
    assert not page.browser.execute_script("return document.querySelector('#help').open")


def test_without_gold_there_are_predictions_alone(browser: Any, serving: Callable[..., Any]) -> None:
    page = Page(browser, serving("bare.jsonl").url)
    assert not browser.find_element("id", "kinds").is_displayed()
    assert page.texts("#count") == ["4 of 4 notes, 5 mentions"]
    assert page.texts("#text small") == ["•J45", "•I10", "•R69"]
    page.press("1")  # no kind to choose
    assert page.ids() == ["1", "2", "3", "4"]


def test_in_the_dark_and_on_paper_all_is_readable(page: Page, contrast: Callable[[str, str], float]) -> None:
    papers = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for selector in ("body", *(f".kind-{kind}" for kind in ("exact", "wrong-code", "wrong-boundary", "missed"))):
            style = (
                "const s = getComputedStyle(document.querySelector(arguments[0])); return [s.color, s.backgroundColor]"
            )
            ink, paper = page.browser.execute_script(style, selector)
            assert contrast(ink, paper) > 7, (scheme, selector)  # WCAG's enhanced level
            papers[scheme, selector] = paper
    assert papers["light", "body"] != papers["dark", "body"]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not page.browser.find_element("tag name", "header").is_displayed()
    assert not page.browser.find_element("id", "list").is_displayed()
    assert page.browser.find_element("id", "text").is_displayed()


def test_rows_stand_below_each_other_and_a_click_chooses_one(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    tops = "return [...document.querySelectorAll('[role=option]')].map((row) => row.getBoundingClientRect().top)"
    first, *rest = page.browser.execute_script(tops)
    assert [top - first for top in rest] == [48, 96, 144]
    rows = page.browser.find_element("id", "rows")
    # From the middle of four rows: into the third.
    ActionChains(page.browser).move_to_element_with_offset(rows, 0, 24).click().perform()
    page.note_is(3)
    assert page.texts("[aria-selected=true] > span:first-child") == ["canarynote-3"]


def test_of_many_notes_only_those_in_view_are_in_the_page(
    browser: Any, serving: Callable[..., Any], tmp_path: Path
) -> None:
    text = "asma canarytext"
    many = [Note(f"canarynote-{number} of many", text, (Span(((0, 4),), "J45"),), "es") for number in range(20_000)]
    write_jsonl(many, tmp_path / "many.jsonl")
    page = Page(browser, serving(tmp_path / "many.jsonl", tmp_path / "many.jsonl").url)
    assert page.texts("#count") == ["20,000 of 20,000 notes, 20,000 mentions"]
    assert len(page.texts("[role=option]")) < 100
    browser.execute_script("const list = document.querySelector('#list'); list.scrollTop = list.scrollHeight")
    page.until(lambda: page.texts("[role=option]:last-child > span:first-child") == ["canarynote-19999 of many"])
    sent = browser.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [name.rpartition("/")[2] for name in sent].count("0.json") == 1
    assert len([name for name in sent if "/notes/" in name]) == 1  # texts are fetched one at a time


WARDS = [
    f"hospital-of-the-coast-discharge-summary-{ward}-unit-{number:06}-final-version"
    for ward in ("cardiology", "neurology")
    for number in (1, 2, 10, 11, 120)
]
VISITS = [f"S0004-06142005000900016-{number}" for number in range(1, 13)]
# Of each row: title, name for screen readers, text, the parts of its id that are not shortened, whether it has room.
SEEN = """
return [...document.querySelectorAll("[role=option]")].map((row) => {
  const parts = [...row.querySelectorAll(".id > *")];
  const whole = parts.filter((part) => part.scrollWidth <= part.clientWidth + 1).map((part) => part.textContent);
  const right = Math.max(...parts.map((part) => part.getBoundingClientRect().right));
  return [row.title, row.ariaLabel, row.firstChild.textContent, whole, right <= row.getBoundingClientRect().right];
});
"""


@pytest.mark.parametrize("ids", [WARDS, VISITS], ids=["wards", "visits"])
@pytest.mark.parametrize("width", [1280, 980, 400])
def test_ids_of_notes_are_not_cut_where_they_differ(
    browser: Any, serving: Callable[..., Any], tmp_path: Path, ids: list[str], width: int
) -> None:
    notes = [Note(each, "asma", (Span(((0, 4),), "J45"),), "es") for each in ids]
    write_jsonl(notes, tmp_path / "long.jsonl")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        Page(browser, serving(tmp_path / "long.jsonl", tmp_path / "long.jsonl").url)
        rows = browser.execute_script(SEEN)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(rows) >= 5
    for title, label, text, whole, fits in rows:
        number = title.removesuffix("-final-version").rpartition("-")[2]
        assert title == text  # the whole id, where the mouse rests, where it is copied and for screen readers
        assert title in ids
        assert label.startswith(f"{title}, es, ")
        assert [part for part in whole if number in part], (title, whole)
        assert fits


def test_an_id_that_is_the_beginning_of_another_and_a_single_one_stand_whole(
    browser: Any, serving: Callable[..., Any], tmp_path: Path
) -> None:
    for ids in (["visit", "visit-1", "visit-11", "other"], ["alone"]):
        notes = [Note(each, "asma", (Span(((0, 4),), "J45"),), "es") for each in ids]
        write_jsonl(notes, tmp_path / "short.jsonl")
        page = Page(browser, serving(tmp_path / "short.jsonl", tmp_path / "short.jsonl").url)
        assert sorted(page.texts("[role=option] .id")) == sorted(ids)
        assert all("".join(whole) == title for title, _, _, whole, _ in browser.execute_script(SEEN))
