"""Lexicon: the built-in opponent that learns nothing but which words were annotated, and with which code.

Forms of at least 3 characters are taken from the contiguous training spans, in lower case; a form is kept where its
annotations are at least 30% of all its whole-word occurrences `(?<!\\w)form(?!\\w)` in the training text, and carries
its most frequent code. A span with two codes is two annotations. Prediction is the leftmost-longest match of whole
words. A letter counts as one character, whether its accent is part of it or follows as a combining mark.

    spans = Lexicon.fit(training_notes).predict(text)
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from clinfed.baselines.context import excluded
from clinfed.corpus.casing import lower
from clinfed.corpus.composing import composed
from clinfed.corpus.note import Note, Span

SHORTEST_FORM = 3  # characters; shorter ones are mostly ambiguous abbreviations
LEAST_SHARE = 0.30  # annotated occurrences / all whole-word occurrences


class Lexicon:
    """The forms that were kept, each with its code and the share of its occurrences that were annotated."""

    def __init__(self, codes: Mapping[str, str], shares: Mapping[str, float] | None = None) -> None:
        self.codes = dict(codes)
        self.shares = dict.fromkeys(codes, 1.0) | dict(shares or {})
        self._forms = _Forms(self.codes)

    @classmethod
    def fit(cls, notes: Iterable[Note], *, least_share: float = LEAST_SHARE) -> "Lexicon":
        """Return the lexicon of the training notes; the order of the notes does not matter."""
        texts: list[str] = []
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for note in notes:
            text, places = composed(note.text)
            texts.append(lower(text))
            for span in note.spans:
                form = texts[-1][bisect_left(places, span.start) : bisect_left(places, span.end)]
                if len(span.fragments) == 1 and len(form) >= SHORTEST_FORM:
                    seen[form][span.code] += 1
        occurrences = count_whole_words(seen, texts)
        # A form that is only ever annotated inside longer words has no whole-word occurrence.
        shares = {form: min(1.0, seen[form].total() / max(1, occurrences[form])) for form in sorted(seen)}
        kept = {form: share for form, share in shares.items() if share >= least_share}
        return cls({form: min(seen[form], key=lambda code: (-seen[form][code], code)) for form in kept}, kept)

    def above(self, least_share: float) -> "Lexicon":
        """Return the lexicon of the forms that have at least this share."""
        shares = {form: share for form, share in self.shares.items() if share >= least_share}
        return Lexicon({form: self.codes[form] for form in shares}, shares)

    def predict(self, text: str, *, filtered: bool = False) -> list[Span]:
        """Return the leftmost-longest matches in a note's text, in order; they never overlap.

        filtered: without those that the left context excludes (context.py).
        """
        found = list(self.scored(text))
        if not filtered:
            return found
        lowered, places = composed(text)
        lowered = lower(lowered)
        return [span for span in found if not excluded(lowered, bisect_left(places, span.start))]

    def scored(self, text: str) -> dict[Span, float]:
        """Return the same matches, each with the share of its form's occurrences that were annotated."""
        spans: dict[Span, float] = {}
        end = 0
        text, places = composed(text)
        for start, forms in self._forms.at(lower(text)):
            if forms and start >= end:
                end = start + len(forms[0])
                spans[Span(((places[start], places[end]),), self.codes[forms[0]])] = self.shares[forms[0]]
        return spans


def count_whole_words(forms: Iterable[str], texts: Iterable[str]) -> Counter[str]:
    """Return how often `(?<!\\w)form(?!\\w)` occurs in the texts, by form: what `re.finditer` finds, in one pass."""
    lookup = _Forms(forms)
    occurrences: Counter[str] = Counter()
    for text in texts:
        ends: dict[
            str, int
        ] = {}  # finditer's matches of one form never overlap each other ("a-b-a-b-a" holds one "a-b-a")
        for start, found in lookup.at(text):
            for form in found:
                if start >= ends.get(form, 0):
                    ends[form] = start + len(form)
                    occurrences[form] += 1
    return occurrences


class _Forms:
    """Finds which of many forms stand as whole words at each place of a text."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._forms = frozenset(forms)
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for form in self._forms:
            lengths[form[:SHORTEST_FORM]].add(len(form))
        self._lengths = {prefix: sorted(found, reverse=True) for prefix, found in lengths.items()}
        first = "".join(re.escape(character) for character in sorted({form[0] for form in self._forms}))
        self._starts = re.compile(rf"(?<!\w)[{first}]" if first else r"(?!)")

    def at(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each place where forms may begin, with those that stand there as whole words, longest first."""
        for match in self._starts.finditer(text):
            start = match.start()
            found = []
            for length in self._lengths.get(text[start : start + SHORTEST_FORM], ()):
                end = start + length
                form = text[start:end]
                if form in self._forms and not _is_word(text[end : end + 1]):
                    found.append(form)
            yield start, found


def _is_word(character: str) -> bool:
    """Return whether a character (or "") matches `\\w`, which is how `re` defines it for str."""
    return character.isalnum() or character == "_"
