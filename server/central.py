"""central.notes=/path: the coordinator evaluates each round's global adapter on a public set that it holds itself.

The one file of the server that reads notes. They are the coordinator's own, never a clinic's.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.corpus import kinds
from clinfed.corpus.language import with_languages
from clinfed.errors import UserError
from clinfed.evaluation.base import EvaluationCounts
from clinfed.evaluation.bootstrap import SEED
from clinfed.home import home
from configs import Run
from configs.discovery import plugin_class

if TYPE_CHECKING:
    from clinfed.training.model import Tagger


class PublicSet:
    """All notes of a file or folder, whatever their split, read and encoded once."""

    def __init__(self, run: Run, codes: Sequence[str]) -> None:
        from clinfed.bases import load_tokenizer
        from clinfed.training.encoded import encode_notes

        path = Path(run.central.notes)
        reader = plugin_class("corpus", kind_of(path))
        corpus = reader(path=str(path), lowercase=run.corpus.lowercase, skip_bad=run.corpus.skip_bad)
        self._notes = sorted(with_languages(corpus.notes()), key=lambda note: note.id)
        self._run, self._codes = run, codes
        if not any(note.spans for note in self._notes):
            found = f"central.notes={path}: none of its {len(self._notes):,} notes holds a mention"
            raise UserError(f"{found}; expected annotated notes; correct them, or leave the setting out")
        tokenizer = load_tokenizer(run.base)
        self._pad_id = tokenizer.pad_token_id
        settings = run.training
        self._encoded = encode_notes(
            run.task,
            self._notes,
            tokenizer,
            codes,
            window=settings.window,
            stride=settings.stride,
            cache=home() / "central",
        )

    def evaluate(self, tagger: "Tagger", state: AdapterState, untrained: Collection[int] = ()) -> EvaluationCounts:
        """Return the strict counts of the state against all gold of the set. untrained: codes that are masked."""
        from clinfed.adapters.weights import write_state
        from clinfed.training.predict import predict
        from clinfed.training.untrained import masked

        write_state(tagger, state)
        settings = replace(self._run.training, device="cpu")  # where the server's model is
        task = self._run.task
        with masked(tagger, task, untrained):
            predicted = predict(tagger, task, self._encoded, self._codes, settings, pad_id=self._pad_id)
        golds = {protocol.ALL_GOLD: self._notes}
        counts = task.count(golds, predicted, replicates=protocol.REPLICATES, seed=SEED)
        return counts[protocol.ALL_GOLD]


def kind_of(path: Path) -> str:
    """Return the reader for a file or folder. Raises: UserError where none fits, or there are texts alone."""
    kind = kinds.kind_of(path)
    if kind == "text":
        raise UserError(f"central.notes={path}: texts without annotations; expected {kinds.WHAT}")
    return kind
