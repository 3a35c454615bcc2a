"""Masked language modelling: the base reads a site's notes and learns to fill in hidden sub-words. No code is needed.

    clinfed simulate task=mlm   # adapts a base to the clinics' language; what is trained and sent is the adapter alone

The vocabulary layer is the base's own and stays as it is. What is counted is the loss at hidden sub-words, in nats; its
exponential is the perplexity. `clinfed pretrain` makes a base by the same task.

Source: Devlin et al. 2019, BERT, section 3.1; Gururangan et al. 2020, Don't Stop Pretraining (domain adaptation).
"""

import hashlib
import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from clinfed.corpus.note import Note
from clinfed.errors import UserError
from clinfed.evaluation.base import EvaluationCounts, Wire, check_array, check_languages
from clinfed.evaluation.scores import Measures
from clinfed.evaluation.small_cells import Rule, with_frequent_languages
from clinfed.settings import setting
from clinfed.tasks.base import Batch, Examples, Gazetteer, Model, Row, Task, no_feature, padded_length

if TYPE_CHECKING:
    from torch import Tensor, nn

# Of the sub-words that are to be told: hidden behind [MASK], and replaced by another; the rest is left as it is. Else
# nothing would ask a visible sub-word's vector to say which it is, and taggers read exactly those vectors.
MASKED, REPLACED = 0.8, 0.1
MICRO = 1_000_000  # counts are integers, so that sums are exact: the loss travels in millionths of a nat
LARGEST_LOSS = 100.0  # nats a sub-word: a chance of 1e-43, which no model gives


@dataclass(frozen=True)
class LossSums(EvaluationCounts):
    """The loss at hidden sub-words by language of the note. losses: language -> (millionths of a nat, sub-words)."""

    named: ClassVar[Mapping[str, tuple[str, ...]]] = {"counts": ("languages",)}
    unit = "hidden sub-words"
    score_name = "perplexity"

    losses: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        """Return the sums over the notes of both."""
        sums = dict(self.losses)
        for language, (loss, tokens) in other.losses.items():
            had = sums.get(language, (0, 0))
            sums[language] = (had[0] + loss, had[1] + tokens)
        return type(self)(sums)

    @property
    def score(self) -> float:
        """Return the mean loss in nats, negative: less is better."""
        loss, tokens = (sum(each) for each in zip((0, 0), *self.losses.values(), strict=True))
        return float(-loss / MICRO / max(1, tokens))

    @staticmethod
    def shown(score: float) -> str:
        """Return the perplexity of a score."""
        return f"{math.exp(-score):.2f}"

    def measures(self) -> dict[str, Any]:
        """Return perplexity, mean loss and the number of hidden sub-words."""
        tokens = sum(tokens for _, tokens in self.losses.values())
        return {"perplexity": math.exp(-self.score), "nats": -self.score, "tokens": tokens}

    def evaluation(self, clinics: Mapping[str, "LossSums"]) -> Measures:
        """Return the measures of all, by language and by clinic."""
        return {
            "unit": self.unit,
            "score": self.score_name,
            "lower_is_better": True,
            "measures": self.measures(),
            "by_language": {of: type(self)({of: each}).measures() for of, each in sorted(self.losses.items())},
            "by_clinic": {name: clinics[name].measures() for name in sorted(clinics)},
        }

    def to_arrays(self) -> dict[str, Any]:
        """Return what leaves the clinic. Shapes: counts (L, 2) int64 beside L languages."""
        return {"languages": [*self.losses], "counts": np.array([*self.losses.values()], np.int64).reshape(-1, 2)}

    @classmethod
    def from_arrays(cls, wire: Wire) -> Self:
        """Return the sums that a clinic sent. Raises: ValueError where shapes, types or signs are not as agreed."""
        languages, counts = wire["languages"], wire["counts"]
        check_array("counts", counts, (len(languages), 2))
        if len(set(languages)) < len(languages):
            raise ValueError("counts name a language twice; expected each once")
        return cls({of: (row[0], row[1]) for of, row in zip(languages, counts.tolist(), strict=True)})

    def check(self, *, replicates: int, shared: Collection[str] | None) -> None:
        """Raise ValueError for a language that is none, or a loss that no model has."""
        check_languages(self.losses)
        if any(loss > LARGEST_LOSS * MICRO * tokens for loss, tokens in self.losses.values()):
            raise ValueError("counts hold a larger loss than a model can have")


@dataclass(frozen=True)
class MaskedBatch(Batch):
    """Windows of notes. Shapes: (B, T); ids int64; hideable, told bool.

    input_ids: as they stand. hideable: which are sub-words of the text. altered, told: the windows with some of them
    hidden, the same each time, and which these are: what the model is evaluated by. facts: (2,), [MASK] and vocabulary.
    """

    input_ids: "Tensor"
    hideable: "Tensor"
    altered: "Tensor"
    told: "Tensor"
    facts: "Tensor"


@dataclass(frozen=True)
class Mlm(Task):
    """Tell hidden sub-words. Training draws them anew at each step; those that are counted are always the same."""

    counts = LossSums
    needs_mentions = False
    head_of_base = True

    masked: float = setting(
        0.3, help="part of the sub-words that the model must predict", above=0, below=1, unit="fraction"
    )

    def encode(
        self,
        notes: Iterable[Note],
        tokenizer: Any,
        codes: Sequence[str],
        *,
        window: int,
        stride: int,
        feature: Gazetteer = no_feature,
    ) -> Examples:
        """Return windows that do not overlap. notes: id. rows: note, input_ids, altered, told, mask_id, vocabulary."""
        notes, examples = list(notes), Examples()
        if not notes:  # the tokenizer takes no empty list
            return examples
        if tokenizer.mask_token_id is None:
            raise UserError(
                "task=mlm: the base's tokenizer has no mask token; choose a base that has one, such as tiny"
            )
        texts = [unicodedata.normalize("NFC", note.text) for note in notes]
        facts = {"mask_id": tokenizer.mask_token_id, "vocabulary": len(tokenizer)}
        for note, pieces in zip(
            notes, tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"], strict=True
        ):
            for start in range(0, max(1, len(pieces)), window - 2):
                ids = [tokenizer.cls_token_id, *pieces[start : start + window - 2], tokenizer.sep_token_id]
                altered, told = self._altered(ids, **facts)
                row = {"note": len(examples.notes), "input_ids": ids, "altered": altered, "told": told}
                examples.rows.append(row | facts)
            examples.notes.append({"id": note.id})
        return examples

    def _altered(self, ids: Sequence[int], mask_id: int, vocabulary: int) -> tuple[list[int], list[int]]:
        """Return a window with sub-words hidden, drawn from what stands in it, and their places; at least one."""
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(repr(list(ids)).encode()).digest()[:8], "big"))
        inside = np.arange(1, len(ids) - 1)
        told = inside[rng.random(len(inside)) < self.masked]
        told = told if len(told) else inside[:1]
        altered = np.array(ids)
        draws, others = rng.random(len(told)), rng.integers(0, vocabulary, len(told))
        altered[told[draws < MASKED]] = mask_id
        replaced = (draws >= MASKED) & (draws < MASKED + REPLACED)
        altered[told[replaced]] = others[replaced]
        return altered.tolist(), told.tolist()

    def collate(self, rows: Sequence[Row], chosen: Sequence[int], pad_id: int) -> MaskedBatch:
        """Return the chosen windows padded to the longest of them."""
        import torch

        shape = (len(chosen), padded_length(max(len(rows[i]["input_ids"]) for i in chosen)))
        input_ids_BT, altered_BT = (torch.full(shape, pad_id, dtype=torch.int64) for _ in range(2))
        mask_BT = torch.zeros(shape, dtype=torch.int64)
        hideable_BT, told_BT = (torch.zeros(shape, dtype=torch.bool) for _ in range(2))
        for place, i in enumerate(chosen):
            length = len(rows[i]["input_ids"])
            input_ids_BT[place, :length] = torch.tensor(rows[i]["input_ids"])
            altered_BT[place, :length] = torch.tensor(rows[i]["altered"])
            mask_BT[place, :length] = 1
            hideable_BT[place, 1 : length - 1] = True
            told_BT[place, torch.tensor(rows[i]["told"], dtype=torch.int64)] = True
        facts = torch.tensor([rows[chosen[0]]["mask_id"], rows[chosen[0]]["vocabulary"]])
        return MaskedBatch(list(chosen), mask_BT, input_ids_BT, hideable_BT, altered_BT, told_BT, facts)

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return no head of its own: the base's vocabulary layer is used (`head_of_base`)."""
        from torch import nn

        return nn.Identity()

    def loss(self, model: Model, batch: Batch) -> "Tensor":
        """Return the mean cross-entropy at sub-words that are hidden now, in nats. Shapes: returns ()."""
        import torch

        assert isinstance(batch, MaskedBatch)
        ids_BT, mask_id, vocabulary = batch.input_ids, batch.facts[0], int(batch.facts[1])
        told_BT = (torch.rand(ids_BT.shape, device=ids_BT.device) < self.masked) & batch.hideable
        draws_BT = torch.rand(ids_BT.shape, device=ids_BT.device)
        others_BT = torch.randint(0, vocabulary, ids_BT.shape, device=ids_BT.device)
        altered_BT = torch.where(told_BT & (draws_BT < MASKED), mask_id, ids_BT)
        replaced_BT = told_BT & (draws_BT >= MASKED) & (draws_BT < MASKED + REPLACED)
        altered_BT = torch.where(replaced_BT, others_BT, altered_BT)
        return self._losses(model, batch, altered_BT, told_BT).sum() / told_BT.sum().clamp(min=1)

    def outputs(self, model: Model, batch: Batch) -> list[tuple[float, int]]:
        """Return each window's summed loss at its hidden sub-words, in nats, and their number."""
        assert isinstance(batch, MaskedBatch)
        losses = self._losses(model, batch, batch.altered, batch.told).tolist()
        found, start = [], 0
        for tokens in batch.told.sum(1).tolist():
            found.append((math.fsum(losses[start : start + tokens]), tokens))
            start += tokens
        return found

    def _losses(self, model: Model, batch: MaskedBatch, altered: "Tensor", told: "Tensor") -> "Tensor":
        """Return the cross-entropy at each place that is told. Shapes: altered, told (B, T); returns (N,)."""
        from torch.nn.functional import cross_entropy

        logits_NV = model.head(model.hidden(altered, batch.attention_mask, told))
        return cross_entropy(logits_NV.float(), batch.input_ids[told], reduction="none")

    def decode(
        self,
        notes: Sequence[Row],
        rows: Sequence[Row],
        outputs: Iterable[tuple[Sequence[int], list[tuple[float, int]]]],
        codes: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return each note's summed loss in nats, and how many sub-words were hidden in it."""
        sums = [(0.0, 0) for _ in notes]
        for chosen, found in outputs:
            for row, (loss, tokens) in zip(chosen, found, strict=True):
                note = rows[row]["note"]
                sums[note] = (sums[note][0] + loss, sums[note][1] + tokens)
        return sums

    def count(
        self,
        golds: Mapping[str, Sequence[Note]],
        predicted: Mapping[str, tuple[float, int]],
        *,
        replicates: int = 0,
        seed: int = 0,
        clinic: str = "",
        rule: Rule | None = None,
    ) -> dict[str, LossSums]:
        """Return the losses by language. There are no replicates: a loss has no interval yet."""
        counts = {}
        for gold, notes in golds.items():
            named = with_frequent_languages(notes, rule.threshold) if rule and rule.threshold else notes
            sums = (LossSums({note.language: _whole(*predicted[note.id])}) for note in named if predicted[note.id][1])
            counts[gold] = sum(sums, LossSums())
        return counts


def _whole(loss: float, tokens: int) -> tuple[int, int]:
    return round(loss * MICRO), tokens
