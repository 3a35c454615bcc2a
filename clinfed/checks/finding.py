"""Finding: what one check of a site found, how bad it is, and what to do."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from clinfed.errors import UserError

Level = Literal["ok", "warn", "fail"]
LEVELS: tuple[Level, ...] = get_args(Level)
INDENT = 20  # of what was found: level, name and the blanks between


@dataclass(frozen=True)
class Finding:
    """One row of the table. remedy: what to do, "" where nothing is to be done. No word of a note stands in it."""

    check: str
    level: Level
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the row as JSON has it."""
        return asdict(self)


def failed(check: str, error: UserError) -> Finding:
    """Return the finding that a user's mistake makes; what to do stands after the last semicolon of its line."""
    found, _, remedy = str(error).rpartition("; ")
    return Finding(check, "fail", found or remedy, remedy if found else "")


def attempted(check: str, attempt: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a check, or the one that its UserError makes."""
    try:
        return attempt()
    except UserError as error:
        return [failed(check, error)]


def table(findings: Iterable[Finding], width: int) -> str:
    """Return the findings as lines: level, check, what was found, and below it what to do."""
    import textwrap

    lines = []
    for each in findings:
        head = f"{each.level.upper() if each.level == 'fail' else each.level:5} {each.check:13} "
        body = textwrap.wrap(each.found, width - INDENT, break_long_words=False) or [""]
        body += textwrap.wrap(f"-> {each.remedy}", width - INDENT, break_long_words=False) if each.remedy else []
        lines += [head + body[0], *(" " * INDENT + line for line in body[1:])]
    return "\n".join(lines)
