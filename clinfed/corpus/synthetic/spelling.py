"""Undoes typing noise: one canonical spelling for a word, its abbreviation and its typos."""

from collections import defaultdict
from functools import cache

from clinfed.corpus.synthetic.lexicon import abbreviations
from clinfed.corpus.synthetic.noise import ELISIONS, MIN_TYPO_LETTERS, fold
from clinfed.corpus.synthetic.vocabulary import vocabulary


def _plain(word: str) -> str:
    return fold(word).replace("·", "")


@cache
def _classes() -> dict[str, str]:
    """Return plain word -> the abbreviation or elision that stands for its class."""
    classes = {_plain(word): short for word, short in ELISIONS.items()}
    for by_word in abbreviations().values():
        classes |= {_plain(word): _plain(short) for word, short in by_word.items()}
    return classes


@cache
def _known() -> frozenset[str]:
    return frozenset(_plain(word) for word in vocabulary())


@cache
def _by_deletion() -> dict[str, list[str]]:
    """Return each word with one letter left out -> the known words it may come from."""
    table: dict[str, list[str]] = defaultdict(list)
    for word in sorted(_known()):
        if len(word) >= MIN_TYPO_LETTERS:
            for key in {word, *_deletions(word)}:
                table[key].append(word)
    return dict(table)


def _deletions(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place in range(1, len(word))}


@cache
def canonical(word: str) -> str:
    """Return the spelling that a word shares with its variants: no case, accents, typo or abbreviation.

    The cache holds one entry per distinct word.
    """
    plain = _plain(word)
    if plain not in _known() and plain.isalpha() and len(plain) >= MIN_TYPO_LETTERS - 1:
        plain = _correct(plain)
    return _classes().get(plain, plain)


def _correct(word: str) -> str:
    """Return the known word one typo away, or the word itself."""
    candidates = {known for key in (word, *sorted(_deletions(word))) for known in _by_deletion().get(key, ())}
    near = [known for known in sorted(candidates) if _is_one_typo(known, word)]
    return near[0] if near else word


def _is_one_typo(known: str, typed: str) -> bool:
    if len(typed) == len(known):
        places = [place for place in range(len(known)) if known[place] != typed[place]]
        if len(places) == 2:
            first, second = places
            return second == first + 1 and known[first] == typed[second] and known[second] == typed[first]
        return len(places) == 1
    longer, shorter = (known, typed) if len(known) > len(typed) else (typed, known)
    return len(longer) == len(shorter) + 1 and shorter in _deletions(longer)
