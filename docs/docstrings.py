"""Docstrings of this project as reStructuredText: paragraphs, and the words that open a line of their own.

They are plain text, in which a star or an underscore means itself. What a dataclass's fields mean is listed below its
docstring: a setting declares it, another field has a comment behind it.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from clinfed.settings import LIMITS, expected

OPENERS = re.compile(r"(?:^|(?<=[.;:)] ))(Shapes|Units|Raises|Source):", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*_|<>])")


def restructured(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText that cannot be malformed."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
    return [line for paragraph in paragraphs for block in _blocks(paragraph) for line in (*block, "")]


def settings_of(owner: type) -> Iterator[str]:
    """Yield reStructuredText lines that list a dataclass's own fields, each with its default and its meaning."""
    if not is_dataclass(owner):
        return
    source = textwrap.dedent(inspect.getsource(owner))
    [definition] = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    declared = {each.name: each for each in fields(owner) if "help" in each.metadata}
    for node in definition.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        end = source.splitlines()[node.end_lineno - 1 if node.end_lineno else 0]
        meaning = end.encode()[node.end_col_offset :].decode().partition("#")[2].strip()
        if setting := declared.get(ast.unparse(node.target)):
            assert isinstance(node.value, ast.Call)
            node.value, meaning = node.value.args[0], _meaning(setting)
        yield f"- ``{ast.unparse(node)}``" + (f" -- {_plain(meaning)}" if meaning else "")
    yield ""


def _meaning(setting: "Field[Any]") -> str:
    """Return what a setting means, in which unit, and what it may be."""
    metadata = setting.metadata
    is_limited = metadata["choices"] or any(metadata[limit] is not None for limit in LIMITS)
    limits = f"expected {expected(metadata)}" if is_limited else ""
    return "; ".join(part for part in (metadata["help"], metadata["unit"], limits) if part)


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
