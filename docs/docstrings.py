"""Docstrings of this project as reStructuredText: paragraphs, and the words that open a line of their own.

They are plain text, in which a star or an underscore means itself; what a dataclass's settings mean stands in the
comments behind them, and is listed below its docstring.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass

OPENERS = re.compile(r"(?:^|(?<=[.;:)] ))(Shapes|Units|Raises|Source):", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*_|<>])")


def restructured(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText that cannot be malformed."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
    return [line for paragraph in paragraphs for block in _blocks(paragraph) for line in (*block, "")]


def settings_of(owner: type) -> Iterator[str]:
    """Yield reStructuredText lines that list a dataclass's own fields, each with its default and its comment."""
    if not is_dataclass(owner):
        return
    source = textwrap.dedent(inspect.getsource(owner))
    [definition] = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for node in definition.body:
        if isinstance(node, ast.AnnAssign):
            end = source.splitlines()[node.end_lineno - 1 if node.end_lineno else 0]
            comment = end.encode()[node.end_col_offset :].decode().partition("#")[2].strip()
            yield f"- ``{ast.unparse(node)}``" + (f" -- {_plain(comment)}" if comment else "")
    yield ""


def _blocks(paragraph: str) -> Iterator[list[str]]:
    """Yield a paragraph's blocks: code where it is indented, items of a list, else text, cut before its openers."""
    lines = paragraph.splitlines()
    if lines[0].startswith("    "):
        yield ["::", "", *(f"    {line}" for line in textwrap.dedent(paragraph).splitlines())]
    elif lines[0].startswith("- "):
        for item in re.split(r"\n(?=- )", paragraph):
            yield ["- " + _plain(" ".join(item.removeprefix("- ").split()))]
    else:
        for part in OPENERS.sub(r"\n\n\1:", paragraph).split("\n\n"):
            if text := _plain(" ".join(part.split())):
                yield [re.sub(r"^(Shapes|Units|Raises|Source):", r"**\1:**", text)]


def _plain(text: str) -> str:
    """Return text in which nothing but code in back quotes has a meaning."""
    pieces = CODE.split(text)
    return "".join(f"``{piece}``" if index % 2 else SPECIAL.sub(r"\\\1", piece) for index, piece in enumerate(pieces))
