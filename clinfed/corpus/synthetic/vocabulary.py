"""Every word that the generator can write before noise, so that a typo never turns one word into another."""

from functools import cache

from clinfed.corpus.synthetic.lexicon import LANGUAGES, abbreviations, clinics, diagnoses, modifiers, reading_cues
from clinfed.corpus.synthetic.noise import ELISIONS, WORD, fold
from clinfed.corpus.synthetic.sentences import templates, words


@cache
def vocabulary() -> frozenset[str]:
    """Return the folded words of all forms, modifiers, abbreviations, sentences and fillings."""
    texts = [form.text for item in diagnoses().values() for forms in item.forms.values() for form in forms]
    for language in LANGUAGES:
        texts += [ending for rows in modifiers().values() for row in rows[language] for ending in row]
        texts += [part for rows in templates()[language].values() for row in rows for part in row[::2]]
        texts += [word for row in words().values() for word in row[language]]
        texts += abbreviations()[language].values()
        texts += [cue for by_code in reading_cues().values() for row in by_code.values() for cue in row[language]]
    texts += [heading for clinic in clinics().values() for heading in clinic.headings]
    texts += ELISIONS.values()
    return frozenset(fold(word) for text in texts for word in WORD.findall(text))
