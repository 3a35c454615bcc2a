"""The offsets in the lines of a BRAT .ann file: read, and rewritten for a text whose line ends were converted."""

import contextlib
import re
from collections.abc import Sequence

from clinfed.corpus import counting, input_checks
from clinfed.corpus.counting import Mention, Places
from clinfed.corpus.input_checks import BadInputError

Lines = list[tuple[str, str]]  # ("file:line", line)

_MENTION = re.compile(r"(T[^\t]*\t[^\t ]+ )([^\t]+)\t(.*)", re.DOTALL)  # head, offsets, surface


def mentions(lines: Lines) -> list[Mention]:
    """Return the mentions of the T lines; broken lines are left for the parser to refuse."""
    found = []
    for where, line in lines:
        if match := _MENTION.fullmatch(line):
            with contextlib.suppress(BadInputError):
                found.append(Mention(tuple(input_checks.parse_offsets(where, match[2])), match[3]))
    return found


def moved(lines: Lines, places: Places) -> Lines:
    """Return the lines with their offsets in the converted text."""
    return [(where, _moved(where, line, places)) for where, line in lines]


def _moved(where: str, line: str, places: Places) -> str:
    if match := _MENTION.fullmatch(line):
        with contextlib.suppress(BadInputError):
            fragments: Sequence[tuple[int, int]] = input_checks.parse_offsets(where, match[2])
            offsets = ";".join(f"{start} {end}" for start, end in counting.moved(fragments, places))
            return f"{match[1]}{offsets}\t{match[3]}"
    return line
