"""Write headline.svg, the picture of the README. Its scores are those of docs/results.md.

Call: python docs/figures/headline.py
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, ROW, HEADING, TOP = 760, 250, 600, 20, 30, 34  # pixels; scores stand right of RIGHT
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
GREY, BLUE, LIGHT_BLUE, DARK = "#b8bec6", "#1f6fb4", "#7fb2dd", "#4a4f57"


@dataclass(frozen=True)
class Bar:
    """A system's strict micro-F1 on test notes, with its 95% interval where results.md has one."""

    system: str
    f1: float
    interval: tuple[float, float] | None
    colour: str


JOBS = {
    "Invented notes, two clinics by language (seeds 0 to 4)": (
        Bar("lexicon of each clinic", 0.587, (0.561, 0.613), GREY),
        Bar("one clinic alone (mean)", 0.668, None, GREY),
        Bar("federated adapter", 0.793, (0.768, 0.819), BLUE),
        Bar("federated adapter + lexicons", 0.829, (0.809, 0.850), LIGHT_BLUE),
        Bar("all notes in one place", 0.795, (0.770, 0.820), DARK),
    ),
    "Invented notes, eight clinics by language and disease (seeds 0 to 4)": (
        Bar("lexicon of each clinic", 0.470, (0.443, 0.497), GREY),
        Bar("one clinic alone (mean)", 0.377, None, GREY),
        Bar("federated adapter", 0.735, (0.707, 0.763), BLUE),
        Bar("federated adapter + lexicons", 0.755, (0.725, 0.786), LIGHT_BLUE),
        Bar("all notes in one place", 0.789, (0.763, 0.816), DARK),
    ),
    "CodiEsp, real Spanish cases, four clinics (seeds 0 to 2; alone: seed 0)": (
        Bar("lexicon of each clinic", 0.513, None, GREY),
        Bar("one clinic alone (mean)", 0.310, None, GREY),
        Bar("federated adapter", 0.444, (0.422, 0.467), BLUE),
        Bar("federated adapter + lexicons", 0.550, None, LIGHT_BLUE),
        Bar("all notes in one place", 0.469, (0.447, 0.491), DARK),
    ),
}


def place(score: float) -> float:
    """Return the x of a score between 0 and 1, in pixels."""
    return LEFT + score * (RIGHT - LEFT)


def text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    """Return a line of text whose baseline is at y."""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}" stroke="{colour}"/>'


def drawn(bar: Bar, y: float) -> list[str]:
    """Return a bar with its name, score and interval; y is the top of its row."""
    middle, score = y + ROW / 2, f"{bar.f1:.3f}".removeprefix("0")
    found = [
        text(LEFT - 8, middle + 4, bar.system, anchor="end", bold=bar.colour == BLUE),
        f'<rect x="{LEFT}" y="{y + 3:g}" width="{place(bar.f1) - LEFT:.1f}" height="{ROW - 6}" fill="{bar.colour}"/>',
    ]
    if bar.interval:
        low, high = (place(bound) for bound in bar.interval)
        score += f" [{bar.interval[0]:.3f}, {bar.interval[1]:.3f}]".replace("0.", ".")
        found += [line(low, middle, high, middle, colour="#000000")]
        found += [line(x, middle - 4, x, middle + 4, colour="#000000") for x in (low, high)]
    return [*found, text(RIGHT + 12, middle + 4, score, bold=bar.colour == BLUE)]


def picture() -> str:
    """Return the SVG; its text is text, and its ground is white, so that it is readable on a dark page."""
    parts: list[str] = [
        text(8, 20, "Strict micro-F1 on test notes (exact span and code), with 95% intervals", bold=True)
    ]
    y = float(TOP)
    for job, bars in JOBS.items():
        parts.append(text(8, y + 18, job))
        y += HEADING
        parts += [line(place(score), y, place(score), y + ROW * len(bars), colour="#e3e6ea") for score in TICKS]
        for bar in bars:
            parts += drawn(bar, y)
            y += ROW
    parts += [text(place(score), y + 16, f"{score:g}", anchor="middle") for score in TICKS]
    height = y + 26
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        'role="img" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#000000">'
    )
    title = "<title>Strict span F1 of clinics alone, federated, and with all notes in one place</title>"
    ground = f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join((opening, title, ground, *parts, "</svg>", ""))


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), "utf-8")
