"""The picture of who holds what shows each clinic, language and chapter of a manifest."""

from html import escape
from pathlib import Path

import pytest

from clinfed.errors import UserError
from clinfed.evaluation.report.figures import inline_svg
from clinfed.evaluation.report.holdings import draw, figure_of, shares

MANIFEST = {
    "north": {"languages": {"ca": 3}, "chapters": {"I": 1, "X": 2}},
    "south": {"languages": {"ca": 1, "es": 5}, "chapters": {"X": 4}},
}


def test_counts_stand_in_the_order_of_clinics_and_the_largest_first() -> None:
    assert shares(MANIFEST, "languages") == {"es": [0, 5], "ca": [3, 1]}
    assert list(shares(MANIFEST, "languages")) == ["es", "ca"]  # 5 before 4
    assert shares({}, "chapters") == {}


def test_a_picture_names_clinics_languages_and_chapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install clinfed[train])")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # text as text, not as outlines
    draw(MANIFEST, tmp_path / "new" / "one.svg")
    draw(MANIFEST, tmp_path / "two.svg")
    text = (tmp_path / "new" / "one.svg").read_text()
    assert all(f">{name}</text>" in text for name in ("north", "south", "ca", "es", "I", "X", "notes by language"))
    assert text == (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize("name", [r"$\frac$", r"$x_1$", "a$b", r"\$", "<b>&amp;"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_name_is_drawn_sign_by_sign_and_never_as_a_formula(
    tmp_path: Path, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install clinfed[train])")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    entry = {"languages": {name: 3}, "chapters": {name: 2}}
    draw({name: entry}, tmp_path / f"one.{suffix}")
    if suffix == "svg":
        text = (tmp_path / "one.svg").read_text()
        assert text.count(f">{escape(name)}</text>") == 3  # the clinic and two keys
        assert escape(name) in inline_svg(figure_of({name: entry}), "title", "text")


@pytest.mark.parametrize("manifest", [MANIFEST, {}])
def test_a_png_is_drawn_too(tmp_path: Path, manifest: dict) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install clinfed[train])")
    draw(manifest, tmp_path / "holdings.png")
    assert (tmp_path / "holdings.png").read_bytes().startswith(b"\x89PNG")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.gif; expected \.png or \.svg"):
        draw(MANIFEST, tmp_path / "holdings.gif")
