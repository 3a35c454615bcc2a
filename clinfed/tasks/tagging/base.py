"""Tagging: what the tasks share that give each word a tag; they differ in the head alone."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clinfed.corpus.note import Note, Span
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.small_cells import Rule, counted
from clinfed.evaluation.spans import evaluated
from clinfed.settings import setting
from clinfed.tasks.base import Batch, Examples, Gazetteer, Model, Row, Task, no_feature, padded_length
from clinfed.tasks.tagging.bio import IGNORED, OUTSIDE, representable, spans_of, tags_of, words_of
from clinfed.tasks.tagging.windows import Window, subwords_of, windows_of

if TYPE_CHECKING:
    from torch import Tensor, nn

DROPOUT: dict[str, Any] = {"least": 0, "below": 1, "unit": "fraction"}  # limits of head_dropout
FIRST_TRUST = 4.0  # nats that a lexicon's finding adds before anything is trained: odds of 55 to 1


@dataclass(frozen=True)
class WordBatch(Batch):
    """Windows of notes. Shapes: input_ids, tags, features (B, T) int64; tags are -100 where no word is tagged here."""

    input_ids: "Tensor"
    tags: "Tensor"
    features: "Tensor"

    @property
    def evaluated(self) -> "Tensor":
        """Return the positions whose word this batch tags. Shapes: returns (B, T) bool."""
        return self.tags != IGNORED


@dataclass(frozen=True)
class Tagging(Task):
    """A tag for each word, numbered as in clinfed.tasks.tagging.bio."""

    has_spans = True
    gold_names = ("all", "representable")

    head_dropout: float = setting(0.1, help="part of the head's input that a step leaves out", **DROPOUT)
    lexicon: bool = setting(False, help="what each clinic's private lexicon finds is an input of the head")

    @property
    def encoding(self) -> str:
        """Return the same for all heads: they read the same examples."""
        return "tagging"

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
        """Return windows of sub-words with the tags of their words.

        notes: id, starts and ends (of words). rows: note, input_ids, tags (-100 where not evaluated), words (of the
        evaluated positions), features (tags of what a lexicon found, 0 where nothing).
        """
        code_index = {code: i for i, code in enumerate(codes)}
        special = {"cls_id": tokenizer.cls_token_id, "sep_id": tokenizer.sep_token_id}
        examples = Examples()
        for note in notes:
            words = words_of(note.text)
            tags, _, missing = tags_of(words, note.spans, code_index)
            features, _, _ = tags_of(words, feature(note), code_index)
            examples.unrepresentable.update(missing)
            pieces = subwords_of(tokenizer, note.text, words)
            for each in windows_of(pieces, size=window, stride=stride, **special):
                examples.rows.append({"note": len(examples.notes), **_example(each, tags, features)})
            starts, ends = [start for start, _ in words], [end for _, end in words]
            examples.notes.append({"id": note.id, "starts": starts, "ends": ends})
        return examples

    def collate(self, rows: Sequence[Row], chosen: Sequence[int], pad_id: int) -> WordBatch:
        """Return the chosen windows padded to the longest of them."""
        import torch

        longest = padded_length(max(len(rows[i]["input_ids"]) for i in chosen))
        input_ids_BT = torch.full((len(chosen), longest), pad_id, dtype=torch.int64)
        tags_BT = torch.full((len(chosen), longest), IGNORED, dtype=torch.int64)
        features_BT = torch.full((len(chosen), longest), OUTSIDE, dtype=torch.int64)
        mask_BT = torch.zeros((len(chosen), longest), dtype=torch.int64)
        for place, i in enumerate(chosen):
            length = len(rows[i]["input_ids"])
            input_ids_BT[place, :length] = torch.tensor(rows[i]["input_ids"])
            tags_BT[place, :length] = torch.tensor(rows[i]["tags"])
            features_BT[place, :length] = torch.tensor(rows[i]["features"])
            mask_BT[place, :length] = 1
        return WordBatch(list(chosen), mask_BT, input_ids_BT, tags_BT, features_BT)

    def loss(self, model: Model, batch: Batch) -> "Tensor":
        """Return the mean loss over the words of a batch, in nats. Shapes: returns ()."""
        assert isinstance(batch, WordBatch)
        hidden_NH = model.hidden(batch.input_ids, batch.attention_mask, batch.evaluated)
        return self.word_loss(model.head, hidden_NH, batch.tags[batch.evaluated], batch.features[batch.evaluated])

    def outputs(self, model: Model, batch: Batch) -> list[tuple[int, float]]:
        """Return tag and score of each word that the batch evaluates, in its order."""
        assert isinstance(batch, WordBatch)
        hidden_NH = model.hidden(batch.input_ids, batch.attention_mask, batch.evaluated)
        windows_N = batch.evaluated.nonzero()[:, 0]
        found = self.scored(model.head, hidden_NH, windows_N, batch.features[batch.evaluated])
        return list(zip(*(each.tolist() for each in found), strict=True))

    def decode(
        self,
        notes: Sequence[Row],
        rows: Sequence[Row],
        outputs: Iterable[tuple[Sequence[int], list[tuple[int, float]]]],
        codes: Sequence[str],
    ) -> list[dict[Span, float]]:
        """Return each note's spans, in text order, with their scores: of the first word, as `scored` gives them."""
        tags = [[OUTSIDE] * len(note["starts"]) for note in notes]
        scores = [[0.0] * len(note["starts"]) for note in notes]
        for chosen, found in outputs:
            words = iter(found)
            for row in chosen:
                note = rows[row]["note"]
                for word in rows[row]["words"]:
                    tags[note][word], scores[note][word] = next(words)
        return [_scored_spans(*each, codes) for each in zip(notes, tags, scores, strict=True)]

    def golds(self, notes: Sequence[Note], codes: Sequence[str]) -> dict[str, Sequence[Note]]:
        """Return the notes with all mentions, and with those that one tag a word can hold."""
        held, _ = representable(notes, codes)
        return {"all": notes, "representable": [replace(note, spans=tuple(held[note.id])) for note in notes]}

    def count(
        self,
        golds: Mapping[str, Sequence[Note]],
        predicted: Mapping[str, Iterable[Span]],
        *,
        replicates: int = 0,
        seed: int = 0,
        clinic: str = "",
        rule: Rule | None = None,
    ) -> dict[str, SpanCounts]:
        """Return the strict counts of mentions against each gold."""
        tables = {gold: evaluated(notes, predicted) for gold, notes in golds.items()}
        return counted(tables, rule, replicates=replicates, seed=seed, clinic=clinic)

    def held_rows(self, rows: Sequence[Row], names: Iterable[str]) -> "dict[str, Tensor]":
        """Return which rows of the head the tags of these windows are positive examples of."""
        import torch

        tags = torch.tensor(sorted({tag for row in rows for tag in row["tags"]} - {IGNORED}), dtype=torch.int64)
        found = {name: self.tag_rows(name, tags) for name in names}
        return {name: each for name, each in found.items() if each is not None}

    def label_rows(self, name: str, codes: "Tensor") -> "Tensor | None":
        """Return the rows of these codes' B and I tags."""
        import torch

        return self.tag_rows(name, torch.stack([2 * codes + 1, 2 * codes + 2], 1).flatten())

    def without_codes(self, rows: Sequence[Row], rare: Collection[int], num_codes: int) -> list[Row]:
        """Return the windows in which words of a rare code have the tags of no code: B = 2C + 1, I = 2C + 2."""

        def tag(found: int) -> int:
            return 2 * num_codes + 1 + (found - 1) % 2 if found > OUTSIDE and (found - 1) // 2 in rare else found

        return [{**row, "tags": [tag(each) for each in row["tags"]]} for row in rows]

    @abstractmethod
    def tag_rows(self, name: str, tags: "Tensor") -> "Tensor | None":
        """Return which rows of a parameter of the head the words of these tags are the positive examples of.

        name: within the head. None: it has no row a code or tag. Shapes: tags (T,) int64; returns (R,) int64.
        """
        raise NotImplementedError

    @abstractmethod
    def word_loss(self, head: "nn.Module", hidden: "Tensor", tags: "Tensor", features: "Tensor") -> "Tensor":
        """Return the loss in nats. Shapes: hidden (N, H) of N words; tags, features (N,) int64; returns ()."""
        raise NotImplementedError

    def tag(self, head: "nn.Module", hidden: "Tensor", windows: "Tensor", features: "Tensor") -> "Tensor":
        """Return the predicted tags. Shapes: as in `scored`; returns (N,) int64."""
        return self.scored(head, hidden, windows, features)[0]

    @abstractmethod
    def scored(
        self, head: "nn.Module", hidden: "Tensor", windows: "Tensor", features: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Return the predicted tags, and how probable it is that each word is inside a mention of its tag's code.

        That is p(B-code) + p(I-code), in [0, 1]; 0 at words that are tagged O.

        Shapes: hidden (N, H), words in reading order; windows (N,) int64, the window of each word; features (N,) int64,
        the tag that a lexicon gives each word, 0 where none or unless `lexicon`; returns (N,) int64 and (N,) float32.
        """
        raise NotImplementedError


def weights(*rows: Sequence[float]) -> "nn.Module":
    """Return trained numbers that start at these rows, as a module: heads are saved and sent by parameter names."""
    import torch
    from torch import nn

    table = nn.Embedding(len(rows), len(rows[0]))
    with torch.no_grad():
        table.weight.copy_(torch.tensor(rows))
    return table


def add_feature(logits: "Tensor", columns: "Tensor", featured: "Tensor", weight: "Tensor") -> "Tensor":
    """Return logits with the weight added in each featured row at its column.

    Shapes: logits (N, C); columns (N,) int64; featured (N,) bool; weight (); returns (N, C).
    """
    return logits.scatter_add(1, columns.unsqueeze(1), (featured * weight).unsqueeze(1).to(logits.dtype))


def _example(window: Window, tags: Sequence[int], features: Sequence[int]) -> Row:
    """Return a window as a row. tags, features: of all words of its note."""
    window_tags = [IGNORED] * len(window.input_ids)
    window_features = [OUTSIDE] * len(window.input_ids)
    for position, word in zip(window.positions, window.words, strict=True):
        window_tags[position], window_features[position] = tags[word], features[word]
    return {"input_ids": window.input_ids, "tags": window_tags, "features": window_features, "words": window.words}


def _scored_spans(note: Row, tags: Sequence[int], scores: Sequence[float], codes: Sequence[str]) -> dict[Span, float]:
    score_at = dict(zip(note["starts"], scores, strict=True))
    words = list(zip(note["starts"], note["ends"], strict=True))
    return {span: score_at[span.start] for span in spans_of(words, tags, codes)}
