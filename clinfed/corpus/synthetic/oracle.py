"""A scorer that knows the generator's rules and tables, but reads only a note's text and its clinic.

It bounds what any model can reach on this corpus, and shows that the notes follow their stated rules.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from clinfed.corpus.note import Span
from clinfed.corpus.synthetic.lexicon import clinics
from clinfed.corpus.synthetic.patterns import Pattern, cues, drug_words, forms, modifier_patterns, severity_prefixes
from clinfed.corpus.synthetic.spelling import canonical

TOKEN = re.compile(r"[^\W_]+(?:·[^\W_]+)*")
INSIDE = (" ", "'", "-", ". ", "/")  # what may stand between two words of a form
JOINERS = ("y", "i", "e", "ni")
CASE_BOUND = 2  # abbreviations up to this length count in capitals only


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the note: its range, as written, and its canonical spelling."""

    start: int
    end: int
    written: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Found:
    """A mention as a range of tokens [first, stop), with its code."""

    first: int
    stop: int
    code: str


def oracle(text: str, *, clinic: str = "") -> list[Span]:
    """Return the mentions that the generator's rules annotate in the text; clinic: "" where unknown."""
    tokens = _tokens(text)
    found = list(_mentions(text, tokens, clinic))
    annotated = []
    for place, mention in enumerate(found):
        first = _list_start(text, tokens, found, place)
        if not _is_excluded(text, tokens, first):
            annotated.append(Span(((tokens[mention.first].start, tokens[mention.stop - 1].end),), mention.code))
    return annotated


def _tokens(text: str) -> list[Token]:
    return [
        Token(match.start(), match.end(), match.group(), canonical(match.group())) for match in TOKEN.finditer(text)
    ]


def _gap(text: str, tokens: list[Token], place: int) -> str:
    """Return what stands before the token at this place, back to the one before it."""
    return text[tokens[place - 1].end : tokens[place].start] if place else ""


def _mentions(text: str, tokens: list[Token], clinic: str) -> Iterator[Found]:
    place = 0
    while place < len(tokens):
        found = _mention_at(text, tokens, place, clinic)
        if found:
            yield found
        place = found.stop if found else place + 1


def _mention_at(text: str, tokens: list[Token], place: int, clinic: str) -> Found | None:
    first = place
    while place + 1 < len(tokens) and tokens[place].canonical in severity_prefixes():
        if _gap(text, tokens, place + 1) != " ":
            return None
        place += 1
    code, stop = _form_at(text, tokens, place, clinic)
    if not code:
        return None
    extended = True
    while extended:
        extended = False
        for pattern in modifier_patterns(code):
            if stop < len(tokens) and _gap(text, tokens, stop) in INSIDE and _matches(text, tokens, stop, pattern):
                stop += len(pattern)
                extended = True
                break
    return Found(first, stop, code)


def _matches(text: str, tokens: list[Token], place: int, pattern: Pattern) -> bool:
    if place + len(pattern) > len(tokens):
        return False
    for step, word in enumerate(pattern):
        token = tokens[place + step]
        if token.canonical != word and not (word == "#" and token.written.isdigit()):
            return False
        if step and _gap(text, tokens, place + step) not in INSIDE:
            return False
    return True


def _form_at(text: str, tokens: list[Token], place: int, clinic: str) -> tuple[str, int]:
    """Return the code of the longest form that starts here ("" for none) and the token after it."""
    reading = _reading_at(text, tokens, place, clinic)
    if reading:
        return reading, place + 1
    for pattern, code, exact in forms().get(tokens[place].canonical, ()):
        if exact and _is_no_mention(text, tokens, place, exact):
            continue
        if pattern == ("gota",) and place and tokens[place - 1].written.isdigit():
            continue  # a drop of a drug, not gout
        if _matches(text, tokens, place, pattern):
            return code, place + len(pattern)
    return "", place


def _reading_at(text: str, tokens: list[Token], place: int, clinic: str) -> str:
    written = tokens[place].written
    code = clinics()[clinic].readings.get(written, "") if clinic in clinics() else ""
    if not code:
        return ""
    after = text[tokens[place].end : tokens[place].end + 2]
    follower = tokens[place + 1].written.lower() if place + 1 < len(tokens) else ""
    before = tokens[place - 1].canonical if place else ""
    # Auscultation and headings ("AR:"), referral ("IC a"), units ("mg/dl"), injection ("drug IM"), blood pressure.
    if after.startswith(":") or _gap(text, tokens, place).endswith("/") or (written == "IC" and follower == "a"):
        return ""
    if written == "TA" and (
        follower[:1].isdigit() or follower in ("brazo", "braç", "brac") or after[:1] in (".", "\n", "")
    ):
        return ""
    return "" if written == "IM" and before in drug_words() else code


def _is_no_mention(text: str, tokens: list[Token], place: int, exact: str) -> bool:
    """Return whether a short abbreviation here is another word or a laboratory value."""
    token = tokens[place]
    if len(exact) <= CASE_BOUND or exact == "LES":
        if token.written != exact or (exact == "LES" and text.isupper()):
            return True
        follower = tokens[place + 1].written if place + 1 < len(tokens) else ""
        return exact == "FA" and follower[:1].isdigit()
    return False


def _list_start(text: str, tokens: list[Token], found: list[Found], place: int) -> int:
    """Return the first token of the list of mentions that this mention ends or continues."""
    while place:
        earlier, mention = found[place - 1], found[place]
        between = text[tokens[earlier.stop - 1].end : tokens[mention.first].start]
        if between != ", " and between.strip().lower() not in JOINERS:
            break
        place -= 1
    return found[place].first


def _is_excluded(text: str, tokens: list[Token], first: int) -> bool:
    """Return whether the words right before a list negate it, or give it to a relative or to prevention."""
    for size, patterns in cues().items():
        start = first - size
        if start < 0 or tuple(token.canonical for token in tokens[start:first]) not in patterns:
            continue
        gaps = [_gap(text, tokens, place) for place in range(start + 1, first + 1)]
        if all("\n" not in gap and not gap.startswith(".") for gap in gaps):
            return True
    return False
