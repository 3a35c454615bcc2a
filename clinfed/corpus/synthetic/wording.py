"""How a diagnosis is worded: a form, and the modifiers that belong to the mention."""

import re
from random import Random

from clinfed.corpus.synthetic.lexicon import GENDERS, Clinic, Diagnosis, Form, abbreviations, modifiers

WORD = re.compile(r"[^\W\d_]+(?:·[^\W\d_]+)*")

# Calibrated once, before any model was trained, so that 20-35% of test mentions have a form unseen in training.
MODIFIER_COUNT = (0.85, 0.09, 0.06)  # shares of mentions with no, one, two modifiers
SHORT_MODIFIER_COUNT = (0.93, 0.04, 0.03)  # the same for abbreviations, which are modified less
PREFIX_SHARE = 0.18  # of severity modifiers that stand before the form: "leve insuficiencia mitral"
READING_SHARE = 0.22  # of mentions that take the clinic's ambiguous abbreviation where it has one
RANK_DECAY = 1.9  # the form at rank r (from 1) is drawn with weight r ** -RANK_DECAY


def word_mention(rng: Random, diagnosis: Diagnosis, language: str, clinic: Clinic) -> str:
    """Return one wording of the diagnosis as this clinic would write it, before typing noise."""
    readings = [text for text, code in clinic.readings.items() if code == diagnosis.code]
    if readings and rng.random() < READING_SHARE:
        return rng.choice(readings)
    form = _choose_form(rng, diagnosis.forms[language], clinic)
    text = _add_modifiers(rng, form, diagnosis, language)
    return abbreviate(rng, text, language, clinic)


def _choose_form(rng: Random, forms: tuple[Form, ...], clinic: Clinic) -> Form:
    weights = [
        rank**-RANK_DECAY * (clinic.shortness if form.is_abbreviation else 1.0) for rank, form in enumerate(forms, 1)
    ]
    return rng.choices(forms, weights)[0]


def _add_modifiers(rng: Random, form: Form, diagnosis: Diagnosis, language: str) -> str:
    shares = SHORT_MODIFIER_COUNT if form.is_abbreviation else MODIFIER_COUNT
    count = min(rng.choices(range(len(shares)), shares)[0], len(diagnosis.modifiers))
    text = form.text
    for name in rng.sample(diagnosis.modifiers, count):
        modifier = rng.choice(modifiers()[name][language])[GENDERS.index(form.gender)]
        modifier = modifier.replace("#", str(rng.randint(2, 20)))
        before = name == "severity" and modifier.isalpha() and not form.is_abbreviation and rng.random() < PREFIX_SHARE
        text = f"{modifier} {text}" if before else f"{text} {modifier}"
    return text


def abbreviate(rng: Random, text: str, language: str, clinic: Clinic) -> str:
    """Return the text with some of its words shortened in the clinic's own way."""
    table = abbreviations()[language]

    def shorten(match: re.Match[str]) -> str:
        word = match.group()
        short = table.get(word.lower())
        if short is None or short not in clinic.abbreviations or rng.random() >= clinic.abbreviate:
            return word
        return short.capitalize() if word[0].isupper() else short

    return WORD.sub(shorten, text)
