"""The generator's tables as patterns of canonical words, for the oracle."""

import re
from collections import defaultdict
from functools import cache
from itertools import product

from clinfed.corpus.synthetic.lexicon import LANGUAGES, diagnoses, modifiers
from clinfed.corpus.synthetic.sentences import MENTION_SLOTS, templates, words
from clinfed.corpus.synthetic.spelling import canonical

Pattern = tuple[str, ...]  # canonical words; "#" stands for any number
PART = re.compile(r"#|[^\W_]+(?:·[^\W_]+)*")
EXCLUDING = ("negated", "family", "prevention")


def _pattern(text: str) -> Pattern:
    return tuple(canonical(part) for part in PART.findall(text))


@cache
def forms() -> dict[str, list[tuple[Pattern, str, str]]]:
    """Return first word -> (pattern, code, the form where it is one abbreviation else ""), longest first."""
    table: dict[str, set[tuple[Pattern, str, str]]] = defaultdict(set)
    for code, item in diagnoses().items():
        for form in (form for by_language in item.forms.values() for form in by_language):
            pattern = _pattern(form.text)
            exact = form.text if form.is_abbreviation and len(pattern) == 1 else ""
            table[pattern[0]].add((pattern, code, exact))
    return {first: sorted(rows, key=lambda row: (-len(row[0]), row)) for first, rows in table.items()}


@cache
def modifier_patterns(code: str) -> tuple[Pattern, ...]:
    """Return the modifiers that may follow a form of the code, longest first."""
    patterns = {
        _pattern(ending)
        for name in diagnoses()[code].modifiers
        for rows in modifiers()[name].values()
        for row in rows
        for ending in row
    }
    return tuple(sorted(patterns, key=lambda pattern: (-len(pattern), pattern)))


@cache
def severity_prefixes() -> frozenset[str]:
    """Return the single words that may stand before a form."""
    endings = (ending for rows in modifiers()["severity"].values() for row in rows for ending in row)
    return frozenset(canonical(ending) for ending in endings if len(PART.findall(ending)) == 1)


@cache
def cues() -> dict[int, frozenset[Pattern]]:
    """Return length -> the words right before a list of diagnoses that is not annotated."""
    patterns: set[Pattern] = set()
    for language in LANGUAGES:
        for section in EXCLUDING:
            for template in templates()[language][section]:
                patterns |= _before(template, language)
    patterns |= {(*pattern[:-1], "d") for pattern in patterns if pattern[-1] == "de"}  # Catalan "d'"
    return {size: frozenset(p for p in patterns if len(p) == size) for size in {len(p) for p in patterns}}


def _before(template: tuple[str, ...], language: str) -> set[Pattern]:
    choices: list[tuple[Pattern, ...]] = []
    for place, part in enumerate(template):
        if place % 2 and part in MENTION_SLOTS:
            break
        options = words()[part][language] if place % 2 else (part,)
        choices.append(tuple(_pattern(option) for option in options))
    return {tuple(word for pattern in choice for word in pattern) for choice in product(*choices)}


@cache
def drug_words() -> frozenset[str]:
    """Return the last words of drugs, after which "IM" is an injection."""
    return frozenset(_pattern(drug)[-1] for by_language in words()["drug"].values() for drug in by_language)
