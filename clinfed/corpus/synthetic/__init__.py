"""Invented bilingual primary-care notes with annotated diagnoses; the datasheet is docs/datasheet.md."""

from clinfed.corpus.synthetic.generator import codes, generate
from clinfed.corpus.synthetic.oracle import oracle

__all__ = ["codes", "generate", "oracle"]
