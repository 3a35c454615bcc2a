"""Whoever switches a check off in a line says why in that line."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("clinfed", "client", "configs", "partitions", "server", "strategies")
SWITCHED_OFF = re.compile(r"#\s*(type:\s*ignore|noqa)")
WITH_REASON = re.compile(r"# type: ignore\[[a-z, -]+\]  # \w|# noqa: [A-Z]+[0-9]+ - \w")


def silent(text: str) -> list[str]:
    """Return the lines that switch a check off and do not say which or why."""
    return [line for line in text.splitlines() if SWITCHED_OFF.search(line) and not WITH_REASON.search(line)]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_check_is_switched_off_without_its_reason(package: str) -> None:
    assert [line for path in sorted((ROOT / package).rglob("*.py")) for line in silent(path.read_text("utf-8"))] == []


def test_what_says_no_reason_is_found() -> None:
    bare = ["x = 1  # type: ignore", "x = 1  # noqa", "x = 1  # type: ignore[misc]", "x = 1  # noqa: N803"]
    said = ["x = 1  # type: ignore[misc]  # mypy's own", "x = 1  # noqa: N803 - its axes", "x = 1  # why"]
    assert silent("\n".join([*bare, *said])) == bare
