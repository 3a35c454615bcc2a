"""Invented bilingual primary-care notes with annotated diagnoses; the datasheet is docs/datasheet.md."""

from clinfed.corpus.synthetic.generator import MOST_CODES, codes, generate
from clinfed.corpus.synthetic.oracle import oracle

__all__ = ["MOST_CODES", "codes", "generate", "oracle"]
