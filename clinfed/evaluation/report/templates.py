"""The HTML of reports: templates in this folder, filled in with everything escaped."""

import re
from pathlib import Path
from typing import Any

# Alone, before its interval or its range; a dash where there is none.
_NUMBER = re.compile(r"(?:< )?-?[\d,]*\.?\d+(?: \[.*\]|-[\d.]+)?|-")


def rendered(name: str, **values: Any) -> str:
    """Return a template of this folder with these values."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.tests["numeric"] = is_number
    environment.filters["anchor"] = anchor
    return environment.get_template(name).render(values)


def anchor(title: str) -> str:
    """Return the name that a link to the section of this title has."""
    return "section-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def is_number(cell: str) -> bool:
    """Return whether a table's cell holds a number, which stands at the right and on one line."""
    return _NUMBER.fullmatch(cell) is not None
