"""Typing noise: typos, missing accents and elisions, at most one per word."""

import re
import unicodedata
from random import Random

WORD = re.compile(r"[^\W\d_]+(?:·[^\W\d_]+)*")
TYPO_RATE = 0.025  # of words of at least MIN_TYPO_LETTERS letters, times the clinic's multiplier
ACCENT_RATE = 0.15  # of accented words that lose their accents
ELISION_RATE = 0.06  # of the short words below
MIN_TYPO_LETTERS = 5  # shorter words would often turn into other words
ELISIONS = {"por": "x", "per": "x", "que": "q", "para": "pa", "con": "c", "amb": "ab", "también": "tb", "també": "tb"}
NEIGHBOURS = dict(zip("abcdefghijklmnopqrstuvwxyz", "svxswdfgukjknmioaeraybeztx", strict=True))  # on the keyboard


def fold(text: str) -> str:
    """Return the text in lower case without accents; the length may change only where letters decompose unusually."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(mark for mark in decomposed if not unicodedata.combining(mark))


def add_noise(rng: Random, text: str, *, rate: float, known: frozenset[str]) -> tuple[str, int]:
    """Return the noised text and the number of words that differ.

    rate: the clinic's multiplier. known: folded words that a typo must not produce, since they mean something else.
    """
    changed = 0

    def change(match: re.Match[str]) -> str:
        nonlocal changed
        word = match.group()
        noised = _noise_word(rng, word, rate, known)
        changed += noised != word
        return noised

    return WORD.sub(change, text), changed


def _noise_word(rng: Random, word: str, rate: float, known: frozenset[str]) -> str:
    draw = rng.random()
    if word in ELISIONS and draw < ELISION_RATE * rate:
        return ELISIONS[word]
    if not word.isascii() and draw < ACCENT_RATE * rate:
        return _strip_accents(word)
    if len(word) < MIN_TYPO_LETTERS or not word[1:].islower() or draw >= TYPO_RATE * rate:
        return word
    noised = _typo(rng, word)
    return word if fold(noised) in known else noised


def _strip_accents(word: str) -> str:
    bare = "".join(mark for mark in unicodedata.normalize("NFD", word) if not unicodedata.combining(mark))
    return bare.replace("·", "")


def _typo(rng: Random, word: str) -> str:
    # The first letter stays, as people mistype it least.
    place = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + word[place] + word[place:]
    return word[:place] + NEIGHBOURS.get(word[place], word[place]) + word[place + 1 :]
