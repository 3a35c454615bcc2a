"""What the offsets of a file count, told from the surfaces that it gives beside them.

A note's text has LF line ends and no byte order mark. A file may have CR LF, where its offsets count both characters
or one, and a byte order mark, which they count or not: the surfaces say which, and text and offsets become the note's
together. A lone CR counts as one character either way. Offsets in other units (UTF-16 code units, bytes) are never
converted: a fault names the unit in which they would fit.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Fragment

BOM = "\ufeff"
PAIRS = "line ends CR LF (converted)"
RETURNS = "line ends CR (converted)"
MARK = "byte order mark (removed)"
DIFFERS = "surface differs from the text"

Places = Sequence[int]  # by what a file counts: where that stands in the note's text

_PIECE = re.compile(r"\r\n|.", re.DOTALL)
_LINE_END = re.compile(r"\r\n?")
_NEARLY_ALL = 0.95  # of the surfaces: a few differ in the best of corpora
_MOST_DIFFERING = 5  # surfaces of a table, and
_MOST_DIFFERING_SHARE = 0.01  # of them: more are no slips (CodiEsp has 3 of 10,640), but offsets in another unit
_EVIDENCE = 50  # documents whose surfaces show the unit


@dataclass(frozen=True)
class Mention:
    """Offsets as a file gives them, and the surface beside them; None where it has none."""

    fragments: tuple[Fragment, ...]
    surface: str | None


def is_plain(raw: str) -> bool:
    """Return whether the text is one as notes have it: line ends are LF, and no byte order mark stands before it."""
    return "\r" not in raw and not raw.startswith(BOM)


def plain(raw: str) -> str:
    """Return the text as notes have it."""
    return raw if is_plain(raw) else _LINE_END.sub("\n", raw.removeprefix(BOM))


def conversions(raw: str) -> Counter[str]:
    """Return what `plain` changes, each once, as it is counted."""
    if is_plain(raw):
        return Counter()
    found = {MARK: raw.startswith(BOM), PAIRS: "\r\n" in raw, RETURNS: raw.count("\r") > raw.count("\r\n")}
    return Counter([reason for reason, changes in found.items() if changes])


def settled(where: str, raw: str, mentions: Sequence[Mention]) -> Places:
    """Return where in `plain(raw)` the offsets of these mentions point.

    A way of counting is right if it fits each surface that fits any. Raises: BadInputError where the surfaces leave
    open which one is.
    """
    marked, paired = raw.startswith(BOM), "\r\n" in raw
    if not (marked or paired):
        return range(len(raw) + 1)
    text = plain(raw)
    ways = [
        _places(raw, lambda piece, pair=pair: pair if piece == "\r\n" else 1, mark=mark)  # type: ignore[misc]
        for mark, pair in itertools.product((1, 0) if marked else (0,), (2, 1) if paired else (1,))
    ]
    if not mentions:
        return ways[0]
    if all(mention.surface is None for mention in mentions):
        raise _undecided(where, paired, "and no surface tells")
    fits = [[_is_at(text, mention, places) for mention in mentions] for places in ways]
    best = [any(column) for column in zip(*fits, strict=True)]
    right = {
        tuple(moved(mention.fragments, places) for mention in mentions): places
        for places, fit in zip(ways, fits, strict=True)
        if fit == best
    }
    if len(right) > 1:  # blanks do not count, which leaves room at the edges of mentions: the exact surfaces tell
        exact = {spans: sum(_is_at(text, each, way, _spaced) for each in mentions) for spans, way in right.items()}
        right = {spans: way for spans, way in right.items() if exact[spans] == max(exact.values())}
    if len(right) != 1:
        raise _undecided(where, paired, f"and the surfaces leave it open{cause(raw, mentions)}")
    return next(iter(right.values()))


def _undecided(where: str, paired: bool, why: str) -> BadInputError:
    if paired:
        found = f"the text has carriage returns (CR), so offsets may count them or not, {why}"
        return BadInputError(where, "carriage return", found, "lines that end in LF, and offsets that count it as one")
    found = f"the text begins with a byte order mark, so offsets may count it or not, {why}"
    return BadInputError(where, "byte order mark", found, "UTF-8 without it")


def moved(fragments: Sequence[Fragment], places: Places) -> tuple[Fragment, ...]:
    """Return the fragments in the note's text; what lies outside of the file's stays outside."""

    def place(offset: int) -> int:
        return places[offset] if 0 <= offset < len(places) else offset

    return tuple((place(start), place(end)) for start, end in fragments)


def same(text: str, mention: Mention) -> bool:
    """Return whether the surface is what stands at the offsets: blanks and line ends do not count. True without one."""
    return _is_at(text, mention, range(len(text) + 1))


def _dense(text: str) -> str:
    return "".join(text.split())


def _spaced(text: str) -> str:
    return re.sub(r"\r ?\n?|\s", " ", text)  # BRAT writes CR LF as CR and a space


def _is_at(text: str, mention: Mention, places: Places, form: Callable[[str], str] = _dense) -> bool:
    if mention.surface is None:
        return True
    if any(not 0 <= start <= end < len(places) for start, end in mention.fragments):
        return False
    parts = [text[start:end] for start, end in moved(mention.fragments, places)]
    return form(" ".join(parts)) == form(mention.surface)


def _places(raw: str, width: Callable[[str], int], *, mark: int = 1, first: int = 0) -> list[int]:
    """Return where each counted position stands in the plain text.

    width: how far a character (CR LF is one here) counts. mark: how far a byte order mark does. first: the first
    character's number.
    """
    places: list[int] = [0] * first
    pieces = (match[0] for match in _PIECE.finditer(raw))
    if raw.startswith(BOM):
        places += [0] * mark
        next(pieces)
    position = 0
    for piece in pieces:
        places += [position] * width(piece)
        position += 1
    return [*places, position]


_UNITS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "UTF-16 code units": lambda piece: len(piece.encode("utf-16-le", "surrogatepass")) // 2,
    "UTF-8 bytes": lambda piece: len(piece.encode("utf-8", "surrogatepass")),
}
_ENDS: dict[str, int | None] = {"": None, " with line ends as two (CR LF)": 2, " with line ends as one": 1}


def _other_ways(raw: str) -> Iterator[tuple[str, Places]]:
    """Yield what offsets may count instead of characters, the likelier before the rarer, with their places."""
    for first, (ends, pair), (unit, width) in itertools.product((0, 1), _ENDS.items(), _UNITS.items()):
        if first + (pair is not None) + (width is not len) == 0:
            continue

        def wide(piece: str, pair: int | None = pair, width: Callable[[str], int] = width) -> int:
            return pair if pair and piece in ("\n", "\r\n") else width(piece)

        name = f"{unit}{ends}{' from 1, or after a byte order mark' if first else ''}"
        yield name, _places(raw, wide, mark=width(BOM), first=first)


def verdict(documents: Iterable[tuple[str, Sequence[Mention]]]) -> str:
    """Return "" for a table whose offsets count characters, else what to say of the surfaces that differ.

    documents: texts as they stand in their files, with what the table says of them.
    """
    differing, total = 0, 0
    evidence: list[tuple[str, Sequence[Mention]]] = []
    for raw, mentions in documents:
        wrong = _differing(raw, mentions)
        total, differing = total + len(mentions), differing + wrong
        if wrong and len(evidence) < _EVIDENCE:
            evidence.append((raw, mentions))
    if differing <= max(_MOST_DIFFERING, _MOST_DIFFERING_SHARE * total):
        return ""
    unit = likely(evidence)
    fit = f"; they fit if offsets count {unit}" if unit else ""
    return f", as in {differing:,} of {total:,} rows of the table{fit}"


def _differing(raw: str, mentions: Sequence[Mention]) -> int:
    try:
        places = settled("", raw, mentions)
    except BadInputError:  # such a note is refused by itself
        return 0
    text = plain(raw)
    return sum(not _is_at(text, mention, places) for mention in mentions)


def likely(documents: Sequence[tuple[str, Sequence[Mention]]]) -> str:
    """Return what the offsets of these texts seem to count, "" where no unit makes nearly all surfaces fit."""
    fits: Counter[str] = Counter()
    total = 0
    for raw, mentions in documents:
        text = plain(raw)
        total += len(mentions)
        for name, places in _other_ways(raw):
            fits[name] += sum(_is_at(text, mention, places) for mention in mentions)
    best = max(fits, key=lambda name: fits[name], default="")  # the first of equal ones
    return best if best and total and fits[best] >= _NEARLY_ALL * total else ""


def cause(raw: str, mentions: Sequence[Mention]) -> str:
    """Return words to add to a fault: the unit in which all offsets of one text would fit, "" where none is."""
    unit = likely([(raw, [mention for mention in mentions if mention.surface is not None])])
    return f"; they fit if offsets count {unit}" if unit else ""


def explained(fault: BadInputError, raw: str, mentions: Sequence[Mention]) -> BadInputError:
    """Return the fault with its likely cause, where it is one of offsets."""
    if fault.kind not in (DIFFERS, "span past the end"):
        return fault
    return fault.because(cause(raw, mentions))
