"""`clinfed report`: what its page says, verified; the page in a real browser, on a screen and on paper."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main


def test_tables_and_pictures_stand_beside_the_page(page: Path) -> None:
    names = {path.name for path in page.parent.iterdir()}
    assert {"report.csv", "report.md", "report-systems.svg", "report-rounds.svg", "report-costs.png"} <= names
    header, first, *_ = (page.parent / "report.csv").read_text("utf-8").splitlines()
    assert header.startswith("system,seeds,validation")
    assert first.startswith("centralised,1,")
    text = (page.parent / "report.md").read_text("utf-8")
    for table in page.parent.glob("report*.csv"):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                assert "| " + " | ".join(row) + " |" in text, table


def test_the_page_needs_no_network_and_says_what_came_out(page: Path, runs: dict[str, Path]) -> None:
    text = page.read_text("utf-8")
    assert "src=" not in text
    assert 'href="http' not in text
    score = json.loads((runs["public"] / "record.json").read_text("utf-8"))["test"]["centralised"]["all"]["micro"]["f1"]
    assert f"The centralised adapter reaches strict micro-F1 {score:.3f}".replace("0.", ".") in text
    assert runs["public"].name in text  # each number's record
    assert text.count('<article class="note"') == 6


def test_a_page_or_table_that_was_changed_after_it_was_written_is_found(
    runs: dict[str, Path], page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(page.parent, tmp_path / "report")
    copy = tmp_path / "report" / page.name
    command = ["report", str(runs["public"]), "--verify", "-o", str(copy)]
    assert main(command) == 0
    assert "all that it says again" in capsys.readouterr().out
    text, markdown = copy.read_text("utf-8"), copy.with_suffix(".md").read_text("utf-8")
    for changed in (
        text.replace("</td></tr>", "9</td></tr>", 1),
        text.replace("reaches strict micro-F1 .", "reaches strict micro-F1 .9", 1),
        text.replace("<tbody>", "<tbody><tr><td>one more</td></tr>", 1),
        text.replace("<tr>", "", 1),
        text.replace("Mean over seeds", "Best of seeds", 1),
        text.replace("McNemar: none", "McNemar: all", 1),
        text.replace("576 codes", "577 codes", 1),
    ):
        assert changed != text
        copy.write_text(changed, "utf-8")
        assert main(command) == 1
        assert "differs: report.html" in capsys.readouterr().out
    copy.unlink()
    copy.with_suffix(".md").write_text(markdown.replace(".", ".9", 1), "utf-8")
    assert main(command) == 1
    assert "differs: report.html; report.md" in capsys.readouterr().out
    copy.write_text(text, "utf-8")
    copy.with_suffix(".md").write_text(markdown, "utf-8")
    scores_table = copy.with_name("report-scores.csv")
    lines = scores_table.read_text("utf-8").splitlines()
    scores_table.write_text("\n".join([*lines[:-1], lines[-1].replace(".", ".9", 1)]) + "\n", "utf-8")
    assert main(command) == 1
    assert "differs: report-scores.csv" in capsys.readouterr().out


def test_in_a_browser_the_page_is_silent_and_its_tables_sort(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    table = browser.find_element("css selector", "table.sortable")

    def first_column() -> list[str]:
        return [row.text.split()[0] for row in table.find_elements("css selector", "tbody tr")]

    before = first_column()
    assert before[0] == "centralised"
    head = table.find_element("css selector", "th button")
    head.click()
    assert first_column() == sorted(before, reverse=True)
    head.click()
    assert first_column() == sorted(before)
    assert len(browser.find_elements("css selector", "figure svg")) == 7
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    "rising",
    [
        ["-", "< .001", ".040", ".5 [.4, .6]", "9", "1,024 [1, 2]", "20,000"],
        ["-.292 [-.312, -.271]", "-.100 [-.2, .1]", ".004 [-.01, .02]"],
        ["2025-12-31T23:00", "2026-01-02T09:00", "2026-11-20T08:00"],
        ["1e9 notes", "4b8b98f25e47", "948419571d27"],  # texts that begin like numbers
    ],
)
def test_numbers_are_sorted_as_numbers_and_texts_as_texts(browser: Any, page: Path, rising: list[str]) -> None:
    browser.get(page.as_uri())
    body = "document.querySelector('table.sortable tbody')"
    rows = "".join(f"<tr><td>{text.replace('<', '&lt;')}</td></tr>" for text in rising[::-1])
    browser.execute_script(f"{body}.innerHTML = arguments[0]", rows)
    shown = f"return [...{body}.rows].map((row) => row.cells[0].textContent)"
    head = browser.find_element("css selector", "table.sortable th button")
    head.click()
    assert browser.execute_script(shown) == rising[::-1]
    head.click()
    assert browser.execute_script(shown) == rising


# What is seen below the middle of each word of the plots: the topmost thing with a colour that is no word itself.
WORDS = """
const found = [];
const seen = (colour) => colour && colour.startsWith("rgb") && !colour.endsWith(", 0)");
for (const svg of document.querySelectorAll("figure svg")) {
  svg.scrollIntoView({ block: "center" });
  for (const word of svg.querySelectorAll("[id^=text_]")) {
    const box = word.getBoundingClientRect(), glyph = word.querySelector("use, path, text");
    if (!glyph || !box.width) continue;
    const below = document.elementsFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2)
      .filter((each) => !each.closest("[id^=text_]"))
      .map((each) => getComputedStyle(each)[each.ownerSVGElement ? "fill" : "backgroundColor"]);
    found.push([getComputedStyle(glyph).fill, below.find(seen), svg.querySelector("title").textContent]);
  }
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_texts_of_the_page_and_of_its_plots_are_readable(
    browser: Any, page: Path, contrast: Callable[[str, str], float], scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())
    style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    ink, paper = browser.execute_script(style)
    assert contrast(ink, paper) > 7  # WCAG's enhanced level
    assert (contrast(paper, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    words = browser.execute_script(WORDS)
    assert len({title for _, _, title in words}) == 7
    assert len(words) > 60
    assert not [each for each in words if contrast(*each[:2]) < 4.5]  # WCAG's level for text of any size


def test_each_plot_is_an_image_that_says_its_numbers(browser: Any, page: Path, runs: dict[str, Path]) -> None:
    browser.get(page.as_uri())
    plots = browser.find_elements("css selector", "figure svg")
    assert {plot.get_attribute("role") for plot in plots} == {"img"}
    described = {
        plot.find_element("css selector", "title").get_attribute("textContent"): browser.execute_script(
            "return document.getElementById(arguments[0].getAttribute('aria-describedby')).textContent", plot
        )
        for plot in plots
    }
    assert [plot.accessible_name for plot in plots] == list(described)
    record = json.loads((runs["public"] / "record.json").read_text("utf-8"))
    score = record["test"]["centralised"]["all"]["micro"]["f1"]
    assert f"centralised {score:.3f} [".replace("0.", ".") in described["F1 of each system"]
    held = record["manifest"]["ca"]["languages"]["ca"]
    assert f"ca: notes ca {held:,}" in described["Who holds what"]
    assert all(any(letter.isdigit() for letter in text) for text in described.values())


def test_on_paper_all_rows_and_columns_are_there(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    long = "document.body.insertAdjacentHTML('beforeend', '<details><summary>41 rows</summary>rows</details>')"
    browser.execute_script(long)  # these runs are too small for a table that is folded
    folded = browser.find_elements("css selector", "details")
    assert not any(each.get_property("open") for each in folded)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    width = 1032  # of A4, landscape, between the margins: 273 mm at 96 dots an inch
    size = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_script("dispatchEvent(new Event('beforeprint'))")
        assert all(each.get_property("open") for each in folded)
        tables = browser.find_elements("css selector", "table")
        assert max(table.rect["x"] + table.rect["width"] for table in tables) <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 20_000


NAMES = ["federated", "centralised (strategy=fedrows training.batch_notes=4)", "W" * 60]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [320, 400, 600])
def test_on_a_narrow_screen_each_table_shows_numbers_beside_names(
    browser: Any, page: Path, width: int, name: str
) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(page.as_uri())
        renamed = "for (const row of document.querySelectorAll('tbody tr')) row.cells[0].textContent = arguments[0];"
        renamed += "for (const t of document.querySelectorAll('table')) t.style.setProperty('--name', arguments[1])"
        browser.execute_script(renamed, name, f"{len(name)}ch")
        for wide in browser.find_elements("css selector", ".wide:has(table)"):
            row = wide.find_element("css selector", "tbody tr")
            first, *cells = row.find_elements("css selector", "td")
            left, right = first.rect["x"] + first.rect["width"], wide.rect["x"] + wide.rect["width"]
            shown = [each for each in cells if left - 1 <= each.rect["x"] <= right + 1 - each.rect["width"]]
            assert [each.text for each in shown if any(letter.isdigit() for letter in each.text)], wide.text
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_narrow_screen_the_rows_names_stay_in_sight(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    wide = browser.find_element("css selector", ".wide")
    browser.execute_script("arguments[0].style.width = '300px'; arguments[0].scrollLeft = 500", wide)
    name = wide.find_element("css selector", "tbody td")
    assert browser.execute_script("return arguments[0].scrollLeft", wide) > 0
    assert name.rect["x"] == pytest.approx(wide.rect["x"], abs=1)
