"""Tables and lines for a terminal: none is wider than it."""

import itertools
import textwrap
from collections.abc import Collection, Iterable, Sequence

WIDTH = 120  # columns of letters
NAME = 40  # for a row's name; a longer one goes on in the next line
GAP = "  "
CELL = WIDTH - NAME - 2 - len(GAP)  # for a column alone; 2: the rest of a name is indented

Cells = Sequence[Sequence[str]]


def folded(head: Sequence[str], rows: Iterable[Sequence[str]], breaks: Collection[str] = ()) -> str:
    """Return a table as text; columns without room follow in further tables below, with the rows' names again.

    A further table leaves out the rows that have nothing in it. breaks: columns at which a further table begins unless
    all columns up to the next of them have room.
    """
    table = [head, *rows]
    groups: list[list[int]] = [[]]
    for column in range(1, len(head)):
        groups += [[]] if head[column] in breaks else []
        groups[-1].append(column)
    parts: list[list[int]] = [[]]
    for group in groups:
        if not _has_room(table, [*parts[-1], *group]):
            parts.append([])
        for column in group:
            if not _has_room(table, [*parts[-1], column]):
                parts.append([])
            parts[-1].append(column)
    return "\n\n".join("\n".join(_table(table, part)) for part in parts if part)


def wrapped(lines: Iterable[str]) -> list[str]:
    """Return lines of prose, each broken where it would be too long."""
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, break_on_hyphens=False) or [""]]


def _has_room(table: Cells, columns: Sequence[int]) -> bool:
    return max(map(len, _table(table, columns))) <= WIDTH


def _table(table: Cells, chosen: Sequence[int]) -> list[str]:
    """Return the lines of some columns beside the rows' names, whose rest stands below where they are long."""
    lines: list[list[str]] = []
    for row in table:
        cells = [row[column] for column in chosen]
        if 1 in chosen or any(cell != "-" for cell in cells):
            first, *rest = textwrap.wrap(row[0], NAME) or [""]
            # A single column may be wider than its room, as with a clinic's long name: its cells go on below, too.
            parts = [textwrap.wrap(cells[0], CELL) or [""]] if len(cells) == 1 else [[cell] for cell in cells]
            columns = [[first, *(f"  {part}" for part in rest)], *parts]
            lines += [list(line) for line in itertools.zip_longest(*columns, fillvalue="")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
