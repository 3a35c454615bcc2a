"""Sentences with slots, parsed once; filling one gives pieces of text, those of mentions kept apart."""

import re
from functools import cache
from random import Random

from clinfed.corpus.synthetic.lexicon import LANGUAGES, read_table

SLOT = re.compile(r"\{(\w+)\}")
MENTION_SLOTS = ("dx", "list")
NEW_SHARE = 0.9  # of repeated sentences that are drawn once more
Template = tuple[str, ...]  # literal, slot, literal, slot, ..., literal


@cache
def templates() -> dict[str, dict[str, tuple[Template, ...]]]:
    """Return language -> section -> parsed sentences."""
    return {
        language: {
            section: tuple(tuple(SLOT.split(text)) for text in texts)
            for section, texts in read_table(f"sentences_{language}").items()
        }
        for language in LANGUAGES
    }


@cache
def words() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return slot -> language -> words that may fill it."""
    table = read_table("words")
    table.pop("numbers")
    return {slot: {language: tuple(row[language]) for language in LANGUAGES} for slot, row in table.items()}


@cache
def numbers() -> dict[str, tuple[int, int, int]]:
    """Return slot -> (lowest, highest, divisor); a divisor above 1 gives a decimal number."""
    return {slot: tuple(row) for slot, row in read_table("words")["numbers"].items()}


def fill(rng: Random, slot: str, language: str) -> str:
    """Return a filling of a slot that is no mention."""
    if slot in numbers():
        low, high, divisor = numbers()[slot]
        value = rng.randint(low, high)
        return str(value) if divisor == 1 else f"{value / divisor:.{1 if divisor == 10 else 2}f}".replace(".", ",")
    if slot == "ta":
        return f"{rng.randint(98, 186)}/{rng.randint(52, 102)}"
    if slot == "date":
        return f"{rng.randint(1, 28)}/{rng.randint(1, 12)}/{rng.randint(9, 19):02d}"
    return rng.choice(words()[slot][language])


def fill_text(rng: Random, text: str, language: str) -> str:
    """Return a text with its slots filled."""
    return SLOT.sub(lambda match: fill(rng, match.group(1), language), text)


def fill_plain(rng: Random, section: str, language: str, used: set[Template]) -> str:
    """Return a filled sentence of a section that holds no mentions; used: those that the note rarely repeats."""
    template = rng.choice(templates()[language][section])
    if template in used and rng.random() < NEW_SHARE:
        template = rng.choice(templates()[language][section])
    used.add(template)
    return "".join(fill(rng, part, language) if place % 2 else part for place, part in enumerate(template))


def fill_around(rng: Random, section: str, language: str) -> tuple[str, str]:
    """Return the filled text before and after the mention slot of a sentence."""
    template = rng.choice(templates()[language][section])
    sides = ["", ""]
    side = 0
    for place, part in enumerate(template):
        if place % 2 and part in MENTION_SLOTS:
            side = 1
        else:
            sides[side] += fill(rng, part, language) if place % 2 else part
    return sides[0], sides[1]
