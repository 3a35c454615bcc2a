"""Seconds to align one long note: spans to tags, sub-words and windows; the time by mention stays about the same.

python benchmarks/alignment.py
"""

import time
from collections.abc import Callable

from clinfed.baselines.lexicon import Lexicon
from clinfed.corpus.note import Note, Span
from clinfed.evaluation.spans import count_spans, evaluated
from clinfed.tasks.tagging.bio import spans_of, tags_of, words_of
from clinfed.tasks.tagging.flat import Jerl
from clinfed.training.tokenizer import train_tokenizer

SIZES = (250, 500, 1000, 2000, 4000)
SENTENCE = "Pacient amb HTA i diabetis tipus 2, sense febre. "
PLACES = {"I10": (12, 15), "E11.9": (18, 34)}
CODES = sorted(PLACES)


def long_note(mentions: int) -> Note:
    """Return one note of half as many sentences as mentions."""
    starts = [len(SENTENCE) * i for i in range(mentions // 2)]
    spans = (Span(((at + start, at + end),), code) for at in starts for code, (start, end) in PLACES.items())
    return Note("n", SENTENCE * (mentions // 2), tuple(spans))


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's time of the quickest of three tries."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def tag_and_find(note: Note) -> list[Span]:
    """Return the spans of the note's own tags."""
    words = words_of(note.text)
    tags, _, _ = tags_of(words, note.spans, {code: i for i, code in enumerate(CODES)})
    return spans_of(words, tags, CODES)


def main() -> None:
    """Print a row for each size."""
    tokenizer = train_tokenizer([SENTENCE], 200)
    lexicon = Lexicon.fit([long_note(100)])
    columns: dict[str, Callable[[Note], object]] = {
        "tags": tag_and_find,
        "windows": lambda note: Jerl().encode([note], tokenizer, CODES, window=512, stride=64),
        "lexicon": lambda note: lexicon.predict(note.text),
        "score": lambda note: count_spans(evaluated([note], {note.id: note.spans}), replicates=0),
    }
    print("mentions     kB", *(f"{name + ' s':>10}" for name in columns), " all, us a mention")
    for size in SIZES:
        note = long_note(size)
        took = [seconds(lambda note=note, work=work: work(note)) for work in columns.values()]
        each_us = 1e6 * sum(took) / size
        print(f"{size:8} {len(note.text) / 1000:6.0f}", *(f"{one:10.4f}" for one in took), f"{each_us:18.0f}")


if __name__ == "__main__":
    main()
