"""The free text of an annotator's note: the codes that it gives, and what else in it looks like a code.

A remark gives codes where it is nothing but a list of them, or where it begins with such a list. A letter and two
digits are prose as often as a code ("B12 low", "T12 fractured"). Words may therefore follow a code only if it has its
dot, or the name of ICD-10 before it. What looks like a code and is not read is counted.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from clinfed.corpus import icd10, terminologies
from clinfed.corpus.terminologies import ICD10

_CONNECTING = {"y", "i", "e", "and", "et", "und"}
_LOOK_ALIKE = {
    "ICD-9",
    "ICD-11",
    "ICD-O",
    "ICD-10-PCS",
    "ICPC",
    "ATC",
}  # all that follows the name may look like ICD-10
_APART = r"\s;|,:/()\[\]{}&+*!?¿†‡\"'«»“”‘’=<>#"
_TOKEN = re.compile(
    rf"(?P<name>(?<![\w-])(?:{'|'.join(terminologies.NAMES.values())})(?![\w-]))"
    r"|(?P<morphology>(?<!\w)M?-?\d{4}/\d\d?(?!\w))"
    rf"|(?P<slip>(?<!\w)[A-Z]\d[\dAB](?:\s+[.,]|,)\d[^{_APART}]*)"  # "E11,9" and "E11 .9"
    rf"|(?P<item>[;|\n])|(?P<doubt>\?)|(?P<word>[^{_APART}]+)",
    re.IGNORECASE,
)
_BROKEN = re.compile(r"[A-Z]\d[\dAB]\.\S+", re.IGNORECASE)  # "E11.99999": a dot where a code has it


@dataclass
class Remark:
    """What a remark says. broken: a slip stands among the codes. unread: codes, or what looks like them, in prose."""

    codes: list[str] = field(default_factory=list)
    broken: bool = False
    others: Counter[str] = field(default_factory=Counter)  # codes of other terminologies, by name
    unread: int = 0


@dataclass
class _Item:
    """A stretch between semicolons: codes (None where broken) and whether each is one beyond doubt; then words."""

    run: list[tuple[str | None, bool]] = field(default_factory=list)
    has_words: bool = False
    later: int = 0  # codes after the first word

    def enter(self, code: str | None, firm: bool) -> None:
        if self.has_words:
            self.later += 1
        else:
            self.run.append((code, firm))


def parse(text: str, *, terminology: str = "") -> Remark:
    """Return what the remark says. terminology: ICD10 where the place of the remark names it."""
    remark = Remark()
    items = list(_items(text, terminology, remark.others))
    kept: list[tuple[str | None, bool]] = []
    is_list = True  # so far each item has begun with codes
    for item in items:
        run = item.run if is_list else []
        while item.has_words and run and not run[-1][1]:
            run = run[:-1]
        kept += run
        remark.unread += item.later + len(item.run) - len(run)
        is_list = is_list and (bool(run) or not item.has_words)
    if any(item.has_words for item in items) and not any(firm for _, firm in kept):
        remark.unread += len(kept)
        kept = []
    remark.codes = list(dict.fromkeys(code for code, _ in kept if code))
    remark.broken = any(code is None for code, _ in kept)
    return remark


def _items(text: str, terminology: str, others: Counter[str]) -> Iterator[_Item]:
    """Yield the items of a remark; codes of other terminologies are entered in others."""
    item = _Item()
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token[0].lstrip("-–—").rstrip(".")
        if kind == "item":
            yield item
            item = _Item()
        elif kind == "name":
            terminology = terminologies.named(word)
        elif kind == "doubt":
            item.has_words = True
        elif not any(map(str.isalnum, word)) or word.lower() in _CONNECTING:
            continue
        elif terminology not in ("", ICD10) and any(map(str.isdigit, word)):
            others[terminology] += 1
            terminology = terminology if terminology in _LOOK_ALIKE else ""
        elif other := terminologies.formed(word):
            others[other] += 1
        elif icd10.is_code(word):
            item.enter(icd10.normalise(word), "." in word or terminology == ICD10)
        elif kind == "slip" or _BROKEN.fullmatch(word):
            item.enter(None, "." in word)
        else:
            item.has_words = True
    yield item
