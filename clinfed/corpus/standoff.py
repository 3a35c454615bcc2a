"""The lines of one BRAT .ann file: mentions, and the three places where a code may stand.

Source: https://brat.nlplab.org/standoff.html
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from clinfed.corpus import icd10, input_checks, remarks, terminologies
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Fragment, Span
from clinfed.corpus.remarks import Remark
from clinfed.corpus.terminologies import ICD10

ANNOTATOR_NOTES = "AnnotatorNotes"  # BRAT's own type of notes


@dataclass
class _Mention:
    type: str
    fragments: tuple[Fragment, ...]
    codes: list[str] = field(default_factory=list)


@dataclass
class _Sheet:
    """What was found so far: mentions by their T id, codes and remarks with the id that they point at."""

    mentions: dict[str, _Mention] = field(default_factory=dict)
    codes: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    remarks: list[tuple[str, str, Remark]] = field(default_factory=list)


def parse(lines: Iterable[tuple[str, str]], text: str, skipped: Counter[str]) -> list[Span]:
    """Return the spans of ("file:line", line) pairs, one for each mention and code, in the file's order.

    A mention without any code is left out and counted in skipped, as are lines that say other things.
    Raises: BadInputError, which never shows what stood in the line.
    """
    sheet = _Sheet()
    for where, line in lines:
        if line.strip():
            _parse_line(where, line, text, sheet, skipped)
    _hear(sheet, skipped)
    _hand_out(sheet, skipped)
    spans = []
    for mention in sheet.mentions.values():
        if not mention.codes and icd10.is_code(mention.type) and not terminologies.formed(mention.type):
            mention.codes.append(icd10.normalise(mention.type))
        if not mention.codes:
            skipped["mention without code"] += 1
            if name := terminologies.formed(mention.type):
                skipped[terminologies.counted(name)] += 1
        # The same code in two places, say normalisation and note, is one code.
        spans += [Span(mention.fragments, code) for code in dict.fromkeys(mention.codes)]
    return spans


def _hear(sheet: _Sheet, skipped: Counter[str]) -> None:
    """Enter the codes of remarks, but where a normalisation or attribute has given their mention a code already."""
    coded = {target: {code for _, code in codes} for target, codes in sheet.codes.items()}
    for where, target, remark in sheet.remarks:
        skipped.update({terminologies.counted(name): number for name, number in remark.others.items()})
        if remark.unread:
            skipped["code among the words of a note (not read)"] += remark.unread
        if not remark.codes and not remark.broken:
            skipped["annotator note without code"] += 1
        elif target not in coded:
            if remark.broken:
                raise input_checks.broken_code(where)
            sheet.codes[target] += [(where, code) for code in remark.codes]
        elif remark.broken or not coded[target].issuperset(remark.codes):
            skipped["note beside a normalisation or attribute with a code (not read)"] += 1


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
    fragments = input_checks.checked_fragments(where, written := input_checks.parse_offsets(where, offsets), len(text))
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
    if (name := terminologies.shown(terminology)) == ICD10:
        sheet.codes[parts[1]].append((where, input_checks.checked_code(where, code)))
    else:
        skipped[terminologies.counted(name)] += 1


def _parse_attribute(where: str, rest: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    """Read `Code T1 E11.9` or `ICD10 T1 E11.9`; attributes of another name (negation, certainty) are counted."""
    parts = rest.split()
    if len(parts) < 2:
        raise BadInputError(where, "broken annotation", "an attribute without its parts", "Code T1 E11.9")
    name = ICD10 if parts[0].lower() == "code" else terminologies.named(parts[0])
    if name == ICD10:
        sheet.codes[parts[1]].append((where, input_checks.checked_code(where, " ".join(parts[2:]))))
    else:
        skipped[terminologies.counted(name) if name else "other attribute"] += 1


def _parse_note(where: str, rest: str, sheet: _Sheet, skipped: Counter[str]) -> None:
    """Read `AnnotatorNotes T1<tab>E11.9`, or a type that names ICD-10; notes of other types are counted and left."""
    type_, target, text = [*rest.split(maxsplit=2), "", "", ""][:3]
    name = terminologies.named(type_)
    if name == ICD10 or type_ == ANNOTATOR_NOTES:
        sheet.remarks.append((where, target, remarks.parse(text, terminology=name)))
    else:
        skipped[terminologies.counted(name) if name else "note of another type"] += 1
