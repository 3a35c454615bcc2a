"""Tagging: mentions of diagnoses as BIO tags of words, by one flat head or by two factored ones."""
