"""Small notes for small models: a mention each, of three codes."""

import numpy as np

from clinfed.corpus.note import Note, Span

CODES = ["E11.9", "I10", "J44.9"]
FORMS = {"E11.9": ["diabetis", "dm2"], "I10": ["hipertensió arterial", "hta"], "J44.9": ["mpoc"]}


def invented_notes(count: int, seed: int = 0) -> list[Note]:
    """Return so many notes of one mention each."""
    rng = np.random.default_rng(seed)
    notes = []
    for i in range(count):
        code = CODES[rng.integers(3)]
        form = FORMS[code][rng.integers(len(FORMS[code]))]
        before = " ".join(rng.choice(["control", "pacient", "amb", "antecedents", "de"], rng.integers(0, 5)))
        text = f"{before} {form} estable".strip()
        start = text.index(form)
        notes.append(Note(f"n{i:03d}", text, (Span(((start, start + len(form)),), code),), "ca"))
    return notes
