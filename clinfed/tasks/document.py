"""Codes of whole notes: which codes a note holds, wherever they stand in it, from one vector a note.

    clinfed simulate task=document adapter=none  # the encoder reads each note once; the small network alone is trained
    clinfed simulate task=document  # the encoder's adapter is trained with it

Easier than strict spans, and never to be compared with them. A note's gold is the set of its spans' codes, also of
codes outside the shared list, so that these are missed.

Source: Federated Learning for ICD Classification with Lightweight Models and Pretrained Embeddings, 2025
(arXiv 2507.03122), whose abstract names the parts; sizes and training are ours.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.small_cells import Rule, counted
from clinfed.evaluation.spans import EvaluatedNote
from clinfed.settings import setting
from clinfed.tasks.base import Batch, Examples, Gazetteer, Model, Row, Task, no_feature, padded_length

if TYPE_CHECKING:
    from torch import Tensor, nn

# The sigmoid of it is .02: nearly all codes are absent from a note, and training need not learn that first.
FIRST_BIAS = -4.0
LEAST = 0.05  # probability below which no code is told of a note: no threshold is lower


@dataclass(frozen=True, eq=False)
class CodeCounts(SpanCounts):
    """Counts of codes of notes, by language and code."""

    unit = "codes of whole notes"


@dataclass(frozen=True)
class NoteBatch(Batch):
    """B notes in W windows. Shapes: input_ids (W, T) int64; owners (W,) int64, each window's note; targets (B, C).

    vectors: (B, H), what a frozen encoder has read before; then there is no window.
    """

    input_ids: "Tensor"
    owners: "Tensor"
    targets: "Tensor"
    vectors: "Tensor"


@dataclass(frozen=True)
class Document(Task):
    """A multilayer perceptron on a note's vector: one probability a code, many codes a note."""

    counts = CodeCounts
    pools = True

    pooling: str = setting(
        "mean",
        help="mean: of the encoder's output over all sub-words of a note; cls: of its first",
        choices=("mean", "cls"),
    )
    hidden: int = setting(
        256, help="size of the one hidden layer; 0: a linear classifier", least=0, most=65_536, unit="units"
    )
    threshold: float = setting(
        0.3, help="probability from which a code counts as predicted", least=LEAST, most=1, unit="fraction"
    )

    @property
    def encoding(self) -> str:
        """Return how a note is read, on which alone the examples depend."""
        return f"document {self.pooling}"

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
        """Return one example a note; its windows do not overlap, so that each sub-word counts once in the mean.

        notes: id. rows: note, input_ids (of all windows, one after another), windows (their lengths), codes (their
        numbers in the list), num_codes (of the list).
        """
        notes, column = list(notes), {code: number for number, code in enumerate(codes)}
        examples, missing = Examples(), Counter[str]()
        for number, (note, windows) in enumerate(zip(notes, self._windows(notes, tokenizer, window), strict=True)):
            found = codes_of(note.spans)
            missing["code outside the label map"] += sum(code not in column for code in found)
            row = {"note": number, "input_ids": [piece for each in windows for piece in each]}
            row |= {"windows": [len(each) for each in windows], "num_codes": len(codes)}
            examples.rows.append(row | {"codes": sorted(column[code] for code in found if code in column)})
            examples.notes.append({"id": note.id})
        examples.unrepresentable.update(+missing)
        return examples

    def _windows(self, notes: Sequence[Note], tokenizer: Any, window: int) -> list[list[list[int]]]:
        """Return each note's windows; only the first where pooling is "cls"."""
        if not notes:  # the tokenizer takes no empty list
            return []
        texts = [unicodedata.normalize("NFC", note.text) for note in notes]
        # Cut here: a tokenizer that cuts by itself remembers it, and its description is a part of the cache's key.
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        room, ends = window - 2, (tokenizer.cls_token_id, tokenizer.sep_token_id)
        starts = [range(0, max(1, len(pieces)), room)[: None if self.pooling == "mean" else 1] for pieces in encoded]
        return [
            [[ends[0], *pieces[start : start + room], ends[1]] for start in each]
            for pieces, each in zip(encoded, starts, strict=True)
        ]

    def collate(self, rows: Sequence[Row], chosen: Sequence[int], pad_id: int) -> NoteBatch:
        """Return the chosen notes: their vectors where there are any, else their windows, padded to the longest."""
        import numpy as np
        import torch

        wanted_BC = np.zeros((len(chosen), rows[chosen[0]]["num_codes"]), np.float32)
        for place, i in enumerate(chosen):
            wanted_BC[place, rows[i]["codes"]] = 1
        targets_BC = torch.from_numpy(wanted_BC)
        if "vector" in rows[chosen[0]]:
            vectors_BH = torch.from_numpy(np.stack([rows[i]["vector"] for i in chosen]))
            mask_B1, none = torch.ones((len(chosen), 1), dtype=torch.int64), torch.zeros((0, 1), dtype=torch.int64)
            return NoteBatch(list(chosen), mask_B1, none, none[:, 0], targets_BC, vectors_BH)
        windows = [(place, each) for place, i in enumerate(chosen) for each in _cut(rows[i])]
        longest = padded_length(max(len(each) for _, each in windows))
        input_ids_WT = torch.full((len(windows), longest), pad_id, dtype=torch.int64)
        mask_WT = torch.zeros((len(windows), longest), dtype=torch.int64)
        for number, (_, each) in enumerate(windows):
            input_ids_WT[number, : len(each)] = torch.tensor(each)
            mask_WT[number, : len(each)] = 1
        owners_W = torch.tensor([place for place, _ in windows])
        return NoteBatch(list(chosen), mask_WT, input_ids_WT, owners_W, targets_BC, torch.zeros((len(chosen), 0)))

    def head(self, hidden_size: int, num_codes: int) -> "nn.Module":
        """Return the network. The vectors' scale is taken out by a norm without weights: no clinic shares its mean."""
        import torch
        from torch import nn

        layers = (nn.Linear(hidden_size, self.hidden), nn.ReLU()) if self.hidden else ()
        last = nn.Linear(self.hidden or hidden_size, num_codes)
        with torch.no_grad():
            last.bias.fill_(FIRST_BIAS)
        return nn.Sequential(nn.LayerNorm(hidden_size, elementwise_affine=False), *layers, last)

    def label_rows(self, name: str, codes: "Tensor") -> "Tensor | None":
        """Return the codes themselves: the last layer has a row for each."""
        return codes if name.startswith(f"{3 if self.hidden else 1}.") else None

    def without_codes(self, rows: Sequence[Row], rare: Collection[int], num_codes: int) -> list[Row]:
        """Return the notes without the rare codes, as if they were absent."""
        return [{**row, "codes": [code for code in row["codes"] if code not in rare]} for row in rows]

    def vectors(self, model: Model, batch: Batch) -> "Tensor":
        """Return the mean over each note's sub-words, or its first one's vector. Shapes: returns (B, H) float32."""
        import torch

        assert isinstance(batch, NoteBatch)
        if batch.vectors.shape[1]:
            return batch.vectors
        encoded = model.encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        hidden_WTH: Tensor = encoded.last_hidden_state.float()
        if self.pooling == "cls":
            return hidden_WTH[:, 0]
        real_WT1 = batch.attention_mask.unsqueeze(-1)
        sums_BH = torch.zeros((len(batch.rows), hidden_WTH.shape[-1]), device=hidden_WTH.device)
        tokens_B1 = torch.zeros((len(batch.rows), 1), device=hidden_WTH.device)
        sums_BH = sums_BH.index_add(0, batch.owners, (hidden_WTH * real_WT1).sum(1))
        return sums_BH / tokens_B1.index_add(0, batch.owners, real_WT1.sum(1).float())

    def loss(self, model: Model, batch: Batch) -> "Tensor":
        """Return the binary cross-entropy in nats, summed over codes and averaged over notes. Shapes: returns ()."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        assert isinstance(batch, NoteBatch)
        logits_BC = model.head(self.vectors(model, batch)).float()
        return binary_cross_entropy_with_logits(logits_BC, batch.targets, reduction="sum") / len(batch.rows)

    def outputs(self, model: Model, batch: Batch) -> Any:
        """Return each code's probability in each note. Shapes: returns (B, C) float32, of numpy."""
        import torch

        return torch.sigmoid(model.head(self.vectors(model, batch)).float()).cpu().numpy()

    def decode(
        self,
        notes: Sequence[Row],
        rows: Sequence[Row],
        outputs: Iterable[tuple[Sequence[int], Any]],
        codes: Sequence[str],
    ) -> list[dict[str, float]]:
        """Return each note's codes with their probabilities, of those that are not below every threshold."""
        found: list[dict[str, float]] = [{} for _ in notes]
        for chosen, probabilities in outputs:
            for place, column in zip(*(each.tolist() for each in (probabilities >= LEAST).nonzero()), strict=True):
                found[rows[chosen[place]]["note"]][codes[column]] = float(probabilities[place, column])
        return found

    def count(
        self,
        golds: Mapping[str, Sequence[Note]],
        predicted: Mapping[str, Mapping[str, float]],
        *,
        replicates: int = 0,
        seed: int = 0,
        clinic: str = "",
        rule: Rule | None = None,
    ) -> dict[str, SpanCounts]:
        """Return the counts of codes of notes against each gold."""
        tables = {
            gold: [
                _evaluated(note, (code for code, p in predicted.get(note.id, {}).items() if p >= self.threshold))
                for note in notes
            ]
            for gold, notes in golds.items()
        }
        options = {"replicates": replicates, "seed": seed, "clinic": clinic, "kind": CodeCounts}
        return counted(tables, rule, **options)


def codes_of(spans: Iterable[Span]) -> frozenset[str]:
    """Return the codes of a note's spans."""
    return frozenset(span.code for span in spans)


def _cut(row: Row) -> Iterable[list[int]]:
    """Yield the windows of a row."""
    start = 0
    for length in row["windows"]:
        yield row["input_ids"][start : start + length]
        start += length


def _evaluated(note: Note, codes: Iterable[str]) -> EvaluatedNote:
    """Return gold and predicted codes as spans that stand nowhere, which is what makes two of them equal."""
    gold, found = (frozenset(Span((), code) for code in each) for each in (codes_of(note.spans), codes))
    return EvaluatedNote(note.unit, note.language, gold, found)
