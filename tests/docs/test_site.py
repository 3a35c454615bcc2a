"""The documentation builds without a warning, and needs no network to be read."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.discovery import PLUGINS, options

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "cache")]
    built = subprocess.run([*command, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_every_page_is_reached_from_the_first(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    first = (site / "index.html").read_text("utf-8")
    assert pages - set(re.findall(r'href="([^"#]+)"', first)) == {"index.html"}


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(r'(?:<(?:script|img|iframe)[^>]*src|<link[^>]*href)="(?:https?:)?//')
    styles = re.compile(r"(?:@import|url\()[\"'(\s]*(?:https?:)?//")
    assert not [page for page in site.rglob("*.html") if loading.search(page.read_text("utf-8"))]
    assert not [sheet for sheet in site.rglob("*.css") if styles.search(sheet.read_text("utf-8"))]


def test_links_to_files_outside_of_the_docs_lead_to_copies(site: Path) -> None:
    copied, *_ = re.findall(r'href="([^"]*_downloads/[^"]*README\.md)"', (site / "recipe.html").read_text("utf-8"))
    assert (site / copied).read_bytes() == (ROOT / "clinfed_tiny" / "README.md").read_bytes()


def test_every_test_that_a_page_names_is_there() -> None:
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(tests/[\w/]+\.py)`", page)}
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_shapes_stand_in_a_paragraph_of_their_own(site: Path) -> None:
    page = (site / "reference" / "extending.html").read_text("utf-8")
    assert "<p><strong>Shapes:</strong> hidden (N, H) of N words" in page


def test_a_setting_stands_with_its_default_its_meaning_its_unit_and_its_limits(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "reference" / "settings.html").read_text("utf-8"))
    assert "rounds: int = 4" in page
    meaning = "part of the run’s epochs in which a linear rate rises; fraction; expected at least 0 and less than 1"
    assert f"warmup: float = 0.06 – {meaning}" in page


def test_every_option_of_every_group_stands_among_the_settings(site: Path) -> None:
    page = (site / "reference" / "settings.html").read_text("utf-8")
    assert not [f"{group}={name}" for group in PLUGINS for name in options(group) if f"<h3>{group}={name}<" not in page]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_names_its_language(page: Path) -> None:
    fences = [line for line in page.read_text("utf-8").splitlines() if line.lstrip().startswith("```")]
    assert len(fences) % 2 == 0
    assert not [number for number, line in enumerate(fences[::2]) if line.strip() == "```"]


def test_no_block_of_a_page_is_wider_than_the_page(browser: Any, site: Path) -> None:
    wider = """return [...document.querySelectorAll("pre")].filter((each) => each.scrollWidth > each.clientWidth + 1)
    .map((each) => each.textContent.slice(0, 40))"""
    for page in sorted(site.glob("*.html")) + sorted(site.glob("tutorials/*.html")):
        browser.get(page.as_uri())
        assert browser.execute_script(wider) == [], page.name


def test_the_lines_of_a_diagram_are_not_broken(browser: Any, site: Path) -> None:
    browser.get((site / "deploy.html").as_uri())
    broken = """return [...document.querySelectorAll(".highlight-text pre")].slice(0, 2).map((each) => {
    const lines = each.textContent.trimEnd().split("\\n").length;
    return each.clientHeight < (lines + 2) * parseFloat(getComputedStyle(each).lineHeight); })"""
    assert browser.execute_script(broken) == [True, True]
