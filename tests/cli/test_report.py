"""`clinfed report`: a page of real runs, in a real browser; scores verified; notes only where anyone may see them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clinfed.cli import main
from clinfed.cli.compare import record_of
from clinfed.evaluation import hits
from clinfed.evaluation.report.pairs import difference_lines
from clinfed.evaluation.report.results import Finished, Result


@pytest.fixture(scope="module")
def runs(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Return the folders of two finished runs: on invented public notes, and on a site's notes with canaries."""
    home = tmp_path_factory.mktemp("home")
    small = ["rounds=2", "adapter.r=4", "corpus.patients=16"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINFED_HOME", str(home))
        assert main(["train", *small, f"output={home / 'public'}"]) == 0
        assert main(["train", *world.overrides, f"output={home / 'site'}"]) == 0
        folders = {}
        for name in ("public", "site"):
            record = record_of(home / name)
            assert record is not None
            folders[name] = record.parent
        yield folders


@pytest.fixture(scope="module")
def page(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of the public run with six notes."""
    target = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["report", str(runs["public"]), "-o", str(target), "--notes", "6"]) == 0
    return target


def test_tables_and_pictures_stand_beside_the_page(page: Path) -> None:
    names = {path.name for path in page.parent.iterdir()}
    assert {"report.csv", "report.md", "report-rounds.svg", "report-costs.png", "report-holdings.svg"} <= names
    header, first, *_ = (page.parent / "report.csv").read_text("utf-8").splitlines()
    assert header.startswith("system,seeds,validation")
    assert first.startswith("centralised,1,")


def test_the_page_needs_no_network_and_says_what_came_out(page: Path, runs: dict[str, Path]) -> None:
    text = page.read_text("utf-8")
    assert "src=" not in text
    assert 'href="http' not in text
    score = json.loads((runs["public"] / "record.json").read_text("utf-8"))["test"]["centralised"]["all"]["micro"]["f1"]
    assert f"The centralised adapter reaches strict micro-F1 {score:.3f}".replace("0.", ".") in text
    assert runs["public"].name in text  # each number's record
    assert text.count('<article class="note"') == 6


def test_notes_of_a_site_are_shown_only_where_asked(runs: dict[str, Path], tmp_path: Path) -> None:
    hidden, shown = tmp_path / "hidden.html", tmp_path / "shown.html"
    assert main(["report", str(runs["site"]), "-o", str(hidden)]) == 0
    assert main(["report", str(runs["site"]), "-o", str(shown), "--show-notes-of-this-site"]) == 0
    assert not [path for path in tmp_path.glob("hidden*") if b"canary" in path.read_bytes()]
    assert "canary" in shown.read_text("utf-8")


def test_mentions_outcomes_are_kept_of_a_public_corpus_and_never_of_a_private_one(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    public, site = hits.read(runs["public"]), hits.read(runs["site"])
    assert public is not None
    record = json.loads((runs["public"] / "record.json").read_text("utf-8"))
    assert int(public.of(hits.ADAPTER).sum()) == record["test"]["centralised"]["all"]["micro"]["tp"]
    assert site is None
    # Nor does anything stay behind in the clinics' own folder.
    assert not list((runs["site"].parents[1] / "clinic" / "hits").glob("*"))


def test_two_runs_are_tested_by_mention_where_anyone_may_see_them(runs: dict[str, Path]) -> None:
    public, site = (Finished.of(runs[name] / "record.json") for name in ("public", "site"))
    one, same = Result("one", {0: public}), Result("same", {0: public})
    lines = difference_lines([one, same])
    assert "0 mentions found by the first only, 0 by the second only, p 1.000" in lines[2]
    refused = difference_lines([Result("one", {0: site}), Result("same", {0: site})])[-1]
    assert refused.startswith("McNemar refused")
    assert refused.endswith("corpus=jsonl.")


def test_scores_are_verified_and_a_changed_one_is_found(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs["public"]), "--verify"]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(runs["public"], copy)
    record = json.loads((copy / "record.json").read_text("utf-8"))
    record["test"]["centralised"]["all"]["micro"]["tp"] += 1
    (copy / "record.json").write_text(json.dumps(record), "utf-8")
    capsys.readouterr()
    assert main(["report", str(copy), "--verify"]) == 1
    assert "differs: centralised, all gold" in capsys.readouterr().out


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "no run record" in capsys.readouterr().err


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
    assert len(browser.find_elements("css selector", "figure svg")) == 5
    assert browser.get_log("browser") == []


def test_in_the_dark_and_on_paper_text_is_readable(
    browser: Any, page: Path, contrast: Callable[[str, str], float]
) -> None:
    papers = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(page.as_uri())
        style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        ink, papers[scheme] = browser.execute_script(style)
        assert contrast(ink, papers[scheme]) > 7  # WCAG's enhanced level
    assert papers["light"] != papers["dark"]
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(printed) > 20_000
