"""Prediction: an adapter on its base finds the diagnoses of notes, with codes and scores.

A mention's score is the probability, at its first word, that this word is inside a mention of this code; see
docs/using.md.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.corpus import kinds, titles
from clinfed.corpus.casing import cased
from clinfed.corpus.note import Note, PredictedNote, Prediction, Span
from clinfed.errors import UserError
from clinfed.experiments.adapted import Adapted, refuse_without_mentions
from clinfed.settings import DEVICES, refuse_outside

if TYPE_CHECKING:
    from clinfed.training.model import Tagger


CHUNK_NOTES = 512  # read, sorted by length and tagged together


@dataclass(frozen=True)
class Predictor:
    """A loaded adapter that gives notes their diagnoses."""

    adapted: Adapted
    tagger: "Tagger"
    tokenizer: Any
    named: titles.Titles
    feature: Callable[[Note], Sequence[Span]]
    min_score: float
    workers: int = 1  # batches that are tagged at a time
    tagging_s: list[float] = field(default_factory=list)  # of each chunk so far: what the model took

    @classmethod
    def load(
        cls,
        adapted: Adapted,
        *,
        named: titles.Titles | None = None,
        lexicon: Path | None = None,
        device: str = "cpu",
        threads: int = 1,
        min_score: float = 0.0,
    ) -> "Predictor":
        """Return the adapter on its base. named: titles; None takes what is known. lexicon: notes to make one from."""
        from clinfed.bases import load_tokenizer

        refuse_without_mentions(adapted)
        feature = features_of(adapted, lexicon)
        # One thread a worker: threads that share each product wait for one another where other programs run.
        training = replace(adapted.run.training, device=checked_device(device), threads=1)
        adapted = replace(adapted, run=replace(adapted.run, training=training))
        tokenizer = load_tokenizer(adapted.run.base)
        named = named or titles.known(adapted.codes)
        workers = threads if device == "cpu" else 1
        return cls(adapted, merged(adapted), tokenizer, named, feature, min_score, workers)

    def predict(self, notes: Iterable[Note]) -> Iterator[PredictedNote]:
        """Yield the notes in their order with what was found; only a chunk of them is held in memory."""
        rest = iter(notes)
        while chunk := list(itertools.islice(rest, CHUNK_NOTES)):
            yield from self._chunk(chunk)

    def _chunk(self, notes: Sequence[Note]) -> Iterator[PredictedNote]:
        from clinfed.training.predict import predict_rows

        run, codes = self.adapted.run, self.adapted.codes
        window, stride = run.training.window, run.training.stride
        bare = cased((replace(note, spans=()) for note in notes), lowercase=run.corpus.lowercase)
        examples = run.task.encode(bare, self.tokenizer, codes, window=window, stride=stride, feature=self.feature)
        pad_id = self.tokenizer.pad_token_id
        parts = (self.tagger, run.task, examples.notes, examples.rows, codes, run.training)
        started = time.perf_counter()
        found = predict_rows(*parts, pad_id=pad_id, workers=self.workers)
        self.tagging_s.append(time.perf_counter() - started)
        for note, scores in zip(notes, found, strict=True):
            kept = {span: score for span, score in scores.items() if score >= self.min_score}
            predictions = tuple(Prediction(self.named(span.code, note.language), score) for span, score in kept.items())
            metadata = (note.language, note.patient, note.clinic, note.split)
            yield PredictedNote(note.id, note.text, tuple(kept), *metadata, predictions, article=note.article)


def merged(adapted: Adapted) -> "Tagger":
    """Return the model with the adapter added into the base's weights, which saves its products at every note.

    A quantised base stays as it is: rounding the sum to 4 bits would be another model. Codes that nobody has trained
    are masked.
    """
    from clinfed.training.untrained import mask

    tagger = adapted.tagger()
    mask(tagger, adapted.run.task, adapted.untrained)
    if hasattr(tagger.encoder, "merge_and_unload") and adapted.run.adapter.quantization() is None:
        tagger.encoder = tagger.encoder.merge_and_unload()
        if getattr(tagger.encoder, "_supports_sdpa", False):  # eager is faster in training only
            tagger.encoder.set_attn_implementation("sdpa")
    return tagger


def features_of(adapted: Adapted, lexicon: Path | None) -> Callable[[Note], Sequence[Span]]:
    """Return what the site's lexicon finds in a note. Raises: UserError where one is needed and none is given."""
    if not adapted.run.task.lexicon:
        if lexicon:
            raise UserError("--lexicon: this adapter was trained without one (task.lexicon=false); leave it out")
        return lambda note: ()
    if lexicon is None:
        raise UserError(
            f"{adapted.folder}: trained with a lexicon as input (task.lexicon=true), without which its scores differ "
            "from the measured ones; give annotated notes of this site with --lexicon FILES"
        )
    from clinfed.baselines.gazetteer import GazetteerFeatures

    notes = kinds.read(lexicon, kinds.kind_of(lexicon), skip_bad=False, skipped=Counter())
    return GazetteerFeatures(list(notes)).of


def checked_device(device: str) -> str:
    """Return the device. Raises: UserError where the machine has none of that name."""
    from clinfed.training.device import has_gpu, without_gpu

    refuse_outside("--device", device, {"choices": DEVICES})
    if not has_gpu(device):
        raise UserError("--{}; {}".format(*without_gpu(device)))
    return device


@dataclass
class Found:
    """Counts what passes by."""

    notes: int = 0
    empty: int = 0
    mentions: int = 0
    untitled: int = 0
    codes: set[str] = field(default_factory=set)

    def counted(self, notes: Iterable[PredictedNote]) -> Iterator[PredictedNote]:
        """Yield the notes, counting."""
        for note in notes:
            self.notes += 1
            self.empty += not note.spans
            self.mentions += len(note.spans)
            self.untitled += sum(not prediction.title for prediction in note.predictions)
            self.codes |= {span.code for span in note.spans}
            yield note

    def summary(self, seconds: float, load_s: float, tagging_s: float, skipped: Counter[str]) -> dict[str, Any]:
        """Return the counts and the pace: from the first note read to the last one written, and of the model alone."""
        return {
            "notes": self.notes,
            "notes_without_mention": self.empty,
            "mentions": self.mentions,
            "mentions_without_title": self.untitled,
            "codes": len(self.codes),
            "skipped": dict(sorted(skipped.items())),
            "seconds": seconds,
            "load_s": load_s,
            "documents_per_s": self.notes / seconds,
            "documents_per_s_without_tokenisation": self.notes / tagging_s if tagging_s else 0.0,
        }


def text_of(summary: dict[str, Any], skipped: Counter[str]) -> str:
    """Return the summary for people."""
    lines = [
        f"{summary['notes']:,} notes, {summary['mentions']:,} mentions of {summary['codes']:,} codes; "
        f"{summary['notes_without_mention']:,} notes without any",
        f"{summary['documents_per_s']:.1f} documents/s: {summary['seconds']:.1f} s, after {summary['load_s']:.1f} s of "
        f"loading base and adapter; {summary['documents_per_s_without_tokenisation']:.1f} documents/s without reading, "
        "tokenising and writing",
    ]
    if summary["mentions_without_title"]:
        lines.append(f"{summary['mentions_without_title']:,} mentions whose code has no title; give --titles FILE")
    lines += [f"{reason}: {number}" for reason, number in sorted(skipped.items())]
    return "\n".join([*lines, f"written: {summary['out']}"])
