"""Figures without a screen, saved without dates: two pictures of the same numbers have the same bytes."""

import hashlib
import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
INK = "#000000"  # what matplotlib draws text and axes in
LITERAL: dict[Any, Any] = {"text.parse_math": False}  # a name between dollar signs is a name, and no formula


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, sizes in inches. ImportError where matplotlib is not installed."""
    from matplotlib.figure import Figure  # not pyplot, which keeps global state and looks for a screen

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: str | Path) -> None:
    """Write PNG or SVG, by suffix. Raises: UserError for another suffix."""
    import matplotlib as mpl

    target = Path(path)
    if target.suffix not in FORMATS:
        raise UserError(f"{target}: cannot draw a file {target.suffix or 'without suffix'}; expected .png or .svg")
    target.parent.mkdir(parents=True, exist_ok=True)
    _take_literally(figure)
    with mpl.rc_context({"svg.hashsalt": "clinfed", **LITERAL}):
        figure.savefig(target, dpi=120, metadata={"Date": None} if target.suffix == ".svg" else None)


def inline_svg(figure: "Figure", title: str, description: str) -> str:
    """Return the figure as an SVG for an HTML page: an image with a name and a description for those who cannot see it.

    Its ink is the page's, so that it is readable in the dark. matplotlib gives black text no colour of its own.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    _take_literally(figure)
    with mpl.rc_context({"svg.hashsalt": f"clinfed {title}", **LITERAL}):  # ids of two pictures on a page must differ
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    name = hashlib.sha256(title.encode()).hexdigest()[:8]
    said = f'role="img" aria-labelledby="title-{name}" aria-describedby="desc-{name}" fill="currentColor"'
    alternative = f'<title id="title-{name}">{escape(title)}</title><desc id="desc-{name}">{escape(description)}</desc>'
    head, body = text.split(">", 1)
    return f"{head} {said}>{alternative}{body}"


def _take_literally(figure: "Figure") -> None:
    """Make every text that is there be drawn sign by sign; those that drawing adds follow LITERAL."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
