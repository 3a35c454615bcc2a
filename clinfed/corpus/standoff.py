"""The lines of one BRAT .ann file: mentions, and the three places where a code may stand.

Source: https://brat.nlplab.org/standoff.html
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from clinfed.corpus import icd10, intake, labels
from clinfed.corpus.intake import BadInputError
from clinfed.corpus.note import Fragment, Span

CODE_ATTRIBUTES = {"code", "icd", "icd10", "icd-10", "cie10", "cie-10", "cim10", "cim-10"}
_TERMINOLOGY = re.compile(r"(icd|cie|cim)[-_ ]?(10)?([-_ ]?(cm|es|mc))?", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s;|+/]+|,(?!\d)")  # a comma before a digit is a slip for the dot: "E11,9"


@dataclass
class _Mention:
    type: str
    fragments: tuple[Fragment, ...]
    codes: list[str] = field(default_factory=list)


@dataclass
class _Sheet:
    """What was found so far: mentions by their T id, codes with the T id that they point at."""

    mentions: dict[str, _Mention] = field(default_factory=dict)
    codes: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))


def parse(lines: Iterable[tuple[str, str]], text: str, skipped: Counter[str]) -> list[Span]:
    """Return the spans of ("file:line", line) pairs, one for each mention and code, in the file's order.

    A mention without any code is left out and counted in skipped, as are lines that say other things.
    Raises: BadInputError, which never shows what stood in the line.
    """
    sheet = _Sheet()
    for where, line in lines:
        if line.strip():
            _parse_line(where, line, text, sheet, skipped)
    _hand_out(sheet, skipped)
    spans = []
    for mention in sheet.mentions.values():
        if not mention.codes and icd10.is_code(mention.type):
            mention.codes.append(icd10.normalise(mention.type))
        if not mention.codes:
            skipped["mention without code"] += 1
        # The same code in two places, say normalisation and note, is one code.
        spans += [Span(mention.fragments, code) for code in dict.fromkeys(mention.codes)]
    return spans


def _hand_out(sheet: _Sheet, skipped: Counter[str]) -> None:
    """Give the codes to their mentions, which may stand after them in the file."""
    for target, codes in sheet.codes.items():
        if target in sheet.mentions:
            sheet.mentions[target].codes += [code for _, code in codes]
        elif target.startswith("T"):
            found = "a code that points at no T line of the file"
            raise BadInputError(codes[0][0], "code without mention", found, "the id of a T line")
        else:  # relations and events may carry attributes too
            skipped["code of what is no mention"] += len(codes)


def _parse_line(where: str, line: str, text: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    key, _, rest = line.partition("\t")
    kind = key[:1]
    if kind == "T":
        if key in sheet.mentions or not re.fullmatch(r"T\d+", key):
            raise BadInputError(where, "broken annotation", "a T id that is taken or no number", "T1, T2, ...")
        sheet.mentions[key] = _parse_mention(where, rest, text)
    elif kind == "N":
        _parse_normalisation(where, rest, sheet, skipped)
    elif kind in ("A", "M"):
        _parse_attribute(where, rest, sheet, skipped)
    elif kind == "#":
        _parse_note(where, rest, sheet, skipped)
    elif kind in ("R", "E", "*"):
        skipped["relation, event or equivalence"] += 1
    else:
        raise BadInputError(where, "broken annotation", "a line of no kind that BRAT has", "T, N, A, M, R, E, * or #")


def _parse_mention(where: str, rest: str, text: str) -> _Mention:
    """Read `Type start end[;start end...]<tab>surface`; the surface must be the text at the offsets."""
    head, tab, surface = rest.partition("\t")
    type_, _, offsets = head.partition(" ")
    if not (tab and type_ and offsets):
        raise BadInputError(
            where, "broken annotation", "a T line without its parts", "type, offsets, tab, surface text"
        )
    fragments = intake.checked_fragments(where, written := intake.parse_offsets(where, offsets), len(text))
    # BRAT joins fragments by a space and shows line ends as one; blanks do not tell a shift, anything else does.
    if "".join("".join(text[start:end] for start, end in written).split()) != "".join(surface.split()):
        found = "the surface text is not what stands at the offsets"
        expected = "offsets in characters (not bytes or UTF-16 units) of this very text"
        raise BadInputError(where, "surface differs from the text", found, expected)
    return _Mention(type_, fragments)


def _parse_normalisation(where: str, rest: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    """Read `Reference T1 ICD10:E11.9<tab>text`; references to other terminologies are counted and left."""
    parts = rest.partition("\t")[0].split()
    if len(parts) != 3 or ":" not in parts[2]:
        raise BadInputError(where, "broken annotation", "an N line without its parts", "Reference T1 ICD10:E11.9")
    terminology, _, code = parts[2].partition(":")
    if _TERMINOLOGY.fullmatch(terminology):
        sheet.codes[parts[1]].append((where, intake.checked_code(where, code)))
    else:
        skipped["reference to another terminology"] += 1


def _parse_attribute(where: str, rest: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    """Read `Code T1 E11.9`; attributes of another name (negation, certainty) are counted and left."""
    parts = rest.split()
    if len(parts) < 2:
        raise BadInputError(where, "broken annotation", "an attribute without its parts", "Code T1 E11.9")
    if parts[0].lower() in CODE_ATTRIBUTES:
        sheet.codes[parts[1]].append((where, intake.checked_code(where, " ".join(parts[2:]))))
    else:
        skipped["other attribute"] += 1


def _parse_note(where: str, rest: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    """Read `AnnotatorNotes T1<tab>E11.9`: codes that the note begins with; a remark follows, or is all there is."""
    parts = rest.split(maxsplit=2)
    words = _words(parts[2]) if len(parts) == 3 else []
    if words and labels.attempts_code(words[0]):
        intake.checked_code(where, words[0])  # raises
    codes = [icd10.normalise(word) for word in itertools.takewhile(icd10.is_code, words)]
    if codes:
        sheet.codes[parts[1]] += [(where, code) for code in codes]
    else:
        skipped["annotator note without code"] += 1


def _words(remark: str) -> list[str]:
    """Return the words of an annotator's note, without the name of the terminology: "ICD10:E11.9" is "E11.9"."""
    words = []
    for word in _SEPARATORS.split(remark):
        name, _, rest = word.partition(":")
        words.append(rest if _TERMINOLOGY.fullmatch(name) else word)
    return [word for word in words if word]
